package registry

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"
)

// App is an assembled application: an http.Handler with a lifecycle.
type App struct {
	core     core
	seed     uint64
	log      *logrus.Logger
	build    Build
	exit     func(code int)
	entries  []*entry // in chain order, listeners last
	settings []Setting

	table      atomic.Pointer[table]
	generation atomic.Uint64 // of table
	serving    atomic.Bool   // started, and not yet told to stop
	draining   atomic.Bool
	failed     chan error

	mu      sync.Mutex // guards the flags, running and the making of table
	started bool
	running []*entry
	drained bool
}

// entry is a module and what the App knows of it.
type entry struct {
	Module
	info     Info
	asked    bool // given by With
	state    State
	why      string // what decided state
	settings []Setting
	linked   atomic.Bool
	wired    wiring
	host     *Host
}

// Build names what was built, for people and for the version endpoint.
type Build struct {
	Version  string // "6.15.0"
	Revision string // the commit, "unknown" if it is not known
}

// An Option adjusts New.
type Option func(*options)

type options struct {
	file, env, flags map[string]string
	given            []Module
	log              *logrus.Logger
	build            Build
	exit             func(int)
}

// Env sets the variables to configure from. Without it New reads none: it never
// looks at the process's own environment.
func Env(vars map[string]string) Option { return func(o *options) { o.env = vars } }

// Flags sets variables that beat those of Env.
func Flags(vars map[string]string) Option { return func(o *options) { o.flags = vars } }

// File sets variables that those of Env beat.
func File(vars map[string]string) Option { return func(o *options) { o.file = vars } }

// With adds modules and turns them on, unless a variable says otherwise. One
// with the name of a listed module takes its place. New configures a module
// itself and no copy of it: an instance belongs to one App.
func With(mods ...Module) Option {
	return func(o *options) { o.given = append(o.given, mods...) }
}

// Logger sets where the App logs. Without it the App is silent. The level is
// changed only when PODINFO_LEVEL is set.
func Logger(l *logrus.Logger) Option { return func(o *options) { o.log = l } }

// Version sets what the App says it is.
func Version(b Build) Option { return func(o *options) { o.build = b } }

// Exit sets what ends the process when a module, such as panic, asks for it.
// Without it the request is logged and nothing ends.
func Exit(f func(code int)) Option { return func(o *options) { o.exit = f } }

// New configures, validates, provisions and assembles mods. When a later
// module has the name of an earlier one, it takes its place. New reports every
// error it finds; those about settings are [SettingError].
func New(mods []Module, opts ...Option) (*App, error) {
	o := options{build: Build{"0.0.0", "unknown"}}
	for i, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("option %d is nil", i+1)
		}
		opt(&o)
	}
	a := &App{log: o.log, build: o.build, exit: o.exit, failed: make(chan error, 1)}
	vals := merge(o.file, o.env, o.flags)
	if err := a.list(mods, o.given); err != nil {
		return nil, err
	}
	if err := a.configure(vals); err != nil {
		return nil, err
	}
	if err := a.provisionAll(vals); err != nil {
		return nil, err
	}
	if err := a.assemble(); err != nil {
		return nil, err
	}
	return a, nil
}

// list registers mods and given, listeners last.
func (a *App) list(mods, given []Module) error {
	var errs []error
	for i, m := range slices.Concat(mods, given) {
		if none(m) {
			place, list := i+1, "the list"
			if i >= len(mods) {
				place, list = i+1-len(mods), "With"
			}
			errs = append(errs, fmt.Errorf("module %d of %s is nil", place, list))
			continue
		}
		e := &entry{Module: m, info: m.Info(), asked: i >= len(mods)}
		if err := checkModule(m); err != nil {
			errs = append(errs, fmt.Errorf("module %s: %w", e.info.Name, err))
		}
		if at := a.index(e.info.Name); at >= 0 {
			a.entries[at] = e
		} else {
			a.entries = append(a.entries, e)
		}
	}
	slices.SortStableFunc(a.entries, func(x, y *entry) int { return x.listens() - y.listens() })
	return errors.Join(errs...)
}

// none reports that there is no module, or none behind its pointer.
func none(m Module) bool {
	v := reflect.ValueOf(m)
	return m == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

func (e *entry) listens() int {
	if _, ok := e.Module.(Listener); ok {
		return 1
	}
	return 0
}

func (a *App) index(name string) int {
	return slices.IndexFunc(a.entries, func(e *entry) bool { return e.info.Name == name })
}

// configure decides what is on and fills the settings of what is.
func (a *App) configure(vals values) error {
	var errs []error
	var mods []Module
	var names []string
	for _, e := range a.entries {
		mods, names = append(mods, e.Module), append(names, e.info.Name)
	}
	declared := Settings(mods)
	strays, warning := unknown(vals, declared)
	errs = append(errs, strays...)
	errs = append(errs, checkTerms(vals, names))
	fields, err := fill(&a.core, fieldSettings(&a.core, EnvPrefix, ""), EnvPrefix, vals)
	errs = append(errs, err)
	a.settings = fields
	for _, e := range a.entries {
		e.settings = fieldSettings(e.Module, e.info.prefix(), e.info.Name)
		var err error
		if e.state, e.why, err = decide(e, vals); err != nil {
			errs = append(errs, err)
			continue
		}
		e.linked.Store(e.state == On)
		if e.state != Off {
			e.settings, err = fill(e.Module, e.settings, e.info.prefix(), vals)
			errs = append(errs, err)
		}
	}
	a.settings = a.valued(declared, vals)
	if err := joinOnce(errs); err != nil {
		return err
	}
	return a.begin(vals, warning)
}

// joinOnce joins errors and drops repetitions: modules that share a setting
// refuse its value alike.
func joinOnce(errs []error) error {
	var out []error
	for _, err := range errs {
		if err != nil && !slices.ContainsFunc(out, func(x error) bool { return x.Error() == err.Error() }) {
			out = append(out, err)
		}
	}
	return errors.Join(out...)
}

// fill configures target and validates what it got.
func fill(target any, settings []Setting, prefix string, vals values) ([]Setting, error) {
	settings, err := configure(target, settings, prefix, vals)
	if v, ok := target.(Validator); ok && err == nil {
		err = explain(v.Validate(), settings, vals)
	}
	return settings, err
}

// valued gives each declared setting the value and source in effect. What is
// off is not configured: it shows what it would be given.
func (a *App) valued(declared []Setting, vals values) []Setting {
	known := map[string]Setting{}
	for _, s := range a.settings {
		known[s.Key] = s
	}
	for _, e := range a.entries {
		for _, s := range e.settings {
			if _, twice := known[s.Key]; e.state != Off && !twice {
				known[s.Key] = s
			}
		}
	}
	for i, s := range declared {
		k, ok := known[s.Key]
		g, set := vals[s.Key]
		switch {
		case ok:
			declared[i].Value, declared[i].Source = k.Value, k.Source
		case set:
			declared[i].Value, declared[i].Source = g.value, g.source
		default:
			declared[i].Value, declared[i].Source = s.Default, FromDefault
		}
	}
	return declared
}

// begin makes what the modules share, once the settings are known.
func (a *App) begin(vals values, warning string) error {
	if a.log == nil {
		a.log = logrus.New()
		a.log.SetOutput(io.Discard)
	}
	if _, set := vals[EnvPrefix+"LEVEL"]; set {
		level, err := logrus.ParseLevel(a.core.Level)
		if err != nil {
			return err
		}
		a.log.SetLevel(level)
	}
	if warning != "" {
		a.log.Warn(warning)
	}
	a.seed = rand.Uint64()
	if a.core.Seed != nil {
		a.seed = *a.core.Seed
	}
	return nil
}

// ServeHTTP serves the routes of the modules that are on.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.table.Load().ServeHTTP(w, r)
}

// Settings lists what can be set, with the values in effect.
func (a *App) Settings() []Setting { return slices.Clone(a.settings) }

// Seed is what the App's randomness was made from.
func (a *App) Seed() uint64 { return a.seed }

// Status is what became of a listed module.
type Status struct {
	Module Module
	Info   Info
	State  State  // as it is now
	Why    string // what decided it: "default", "code", "switch" or a variable
}

// Modules lists every module in chain order, listeners last.
func (a *App) Modules() []Status {
	var out []Status
	for _, e := range a.entries {
		s := Status{e.Module, e.info, e.state, e.why}
		if linked := e.linked.Load(); e.state != Off && linked != (e.state == On) {
			s.State, s.Why = Standby, "switch"
			if linked {
				s.State = On
			}
		}
		out = append(out, s)
	}
	return out
}

// InChain lists every module the way a request meets them: middleware by
// phase, then the endpoints, then the listeners.
func (a *App) InChain() []Status {
	out := a.Modules()
	slices.SortStableFunc(out, func(x, y Status) int { return rank(x) - rank(y) })
	return out
}

func rank(s Status) int {
	if s.Info.Phase == 0 {
		return int(Fault) + 1
	}
	return int(s.Info.Phase)
}

// Log is where the App logs.
func (a *App) Log() *logrus.Logger { return a.log }

// Get returns the listed module of a name, nil if there is none.
func (a *App) Get(name string) Module {
	if i := a.index(name); i >= 0 {
		return a.entries[i].Module
	}
	return nil
}

// Mounted lists the routes that are served now, in list order.
func (a *App) Mounted() []Mounted { return slices.Clone(a.table.Load().mounted) }
