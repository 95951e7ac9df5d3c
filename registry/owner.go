package registry

import (
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"weak"
)

// owned holds the module instances that belong to an App. An instance in two
// Apps would be configured twice and serve both with the settings of the
// second, and neither App can see the other: so this is the one thing that the
// Apps of a process share. It keeps no instance alive.
var owned sync.Map // of claim to struct{}

// claim is a module instance that belongs to an App. An embedded first field has
// the same address and another type.
type claim struct {
	at  weak.Pointer[byte]
	typ reflect.Type
}

// claim makes the listed modules belong to a.
func (a *App) claim() error {
	for _, e := range a.entries {
		v := reflect.ValueOf(e.Module)
		if v.Kind() != reflect.Pointer || v.Type().Elem().Size() == 0 { // has no state that could be shared
			continue
		}
		at := (*byte)(v.UnsafePointer())
		key := claim{weak.Make(at), v.Type()}
		if _, taken := owned.LoadOrStore(key, struct{}{}); taken {
			return fmt.Errorf("module %s belongs to another App already: make a new instance for each App", e.info.Name)
		}
		a.claims = append(a.claims, key)
		given := reflect.New(v.Type().Elem()).Elem()
		given.Set(v.Elem())
		a.restore = append(a.restore, func() { v.Elem().Set(given) })
		runtime.AddCleanup(at, func(key claim) { owned.Delete(key) }, key)
	}
	return nil
}

// release gives the modules of an App back that never served.
func (a *App) release() {
	for _, key := range a.claims {
		owned.Delete(key)
	}
	a.claims = nil
}

// undo gives modules back as they were given, after a New that failed.
func (a *App) undo() {
	for _, restore := range a.restore {
		restore()
	}
	a.release()
}
