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
var owned sync.Map // of weak.Pointer[byte] to struct{}

// claim makes the listed modules belong to a. release undoes that.
func (a *App) claim() (release func(), err error) {
	var claimed []weak.Pointer[byte]
	release = func() {
		for _, p := range claimed {
			owned.Delete(p)
		}
	}
	for _, e := range a.entries {
		v := reflect.ValueOf(e.Module)
		if v.Kind() != reflect.Pointer || v.Type().Elem().Size() == 0 { // has no state that could be shared
			continue
		}
		at := (*byte)(v.UnsafePointer())
		key := weak.Make(at)
		if _, taken := owned.LoadOrStore(key, struct{}{}); taken {
			return release, fmt.Errorf("module %s belongs to another App already: make a new instance for each App", e.info.Name)
		}
		claimed = append(claimed, key)
		runtime.AddCleanup(at, func(key weak.Pointer[byte]) { owned.Delete(key) }, key)
	}
	return release, nil
}
