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

	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/sirupsen/logrus"
)

// App is an assembled application: an http.Handler with a lifecycle.
type App struct {
	core     core
	seed     uint64
	log      *logrus.Logger
	build    Build
	environ  []string
	memory   Memory
	budget   *budget.Budget
	exit     func(code int)
	entries  []*entry // in list order, listeners last
	chain    []*entry // the same in the order a request meets them
	settings func() []Setting
	declared []*Setting // what settings are made from: these and the values
	own      []field    // in the fields of core and of the modules
	claims   []claim
	warnings []string
	restore  []func() // of modules, until New has succeeded
	problems []error  // that modules have with each other, found while provisioning

	current  atomic.Pointer[Assembly]
	serving  atomic.Bool // started, and not yet told to stop
	draining atomic.Bool
	failed   chan error

	mu      sync.Mutex // guards the fields below and the replacement of current
	started bool
	running []*entry
	drained bool
}

// entry is a module and what the App knows of it.
type entry struct {
	Module
	info     Info
	explicit bool // given by With
	state    State
	why      string // what decided state
	fields   []field
	progress progress
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
	defaults         map[string]string
	file, env, flags map[string]string
	environ          []string
	memory           Memory
	given            []Module
	checks           []Check
	log              *logrus.Logger
	build            Build
	exit             func(int)
}

// Env sets the variables to configure from. Without it New reads none: it never
// looks at the environment of the process.
func Env(vars map[string]string) Option { return func(o *options) { o.env = vars } }

// Flags sets variables that take precedence over those of Env.
func Flags(vars map[string]string) Option { return func(o *options) { o.flags = vars } }

// File sets variables that those of Env take precedence over.
func File(vars map[string]string) Option { return func(o *options) { o.file = vars } }

// Defaults sets variables that those of File take precedence over. They are shown
// as values from code.
func Defaults(vars map[string]string) Option { return func(o *options) { o.defaults = vars } }

// Environ sets the environment of the process, in the form of os.Environ, for
// modules that show it or that follow variables of other programs, such as
// OTEL_*. Settings are not read from it: that is [Env].
func Environ(environ []string) Option { return func(o *options) { o.environ = environ } }

// MemoryLimit sets how much memory the process may use and who says so, from
// which the sizes of budgets and caches are derived that are not set. Without
// it they are derived from 512 MiB: New does not ask the system.
func MemoryLimit(bytes int64, from string) Option {
	return func(o *options) { o.memory = Memory{bytes, from} }
}

// With adds modules and turns them on, unless a variable says otherwise. A
// module with the name of a listed one replaces it. New configures the
// instance itself, not a copy, so an instance belongs to one App.
//
// Fields that are set in the literal keep their values unless a variable is
// set. A zero field means the default, because Go cannot tell a zero that was
// written from a field that was left out. To set a field to zero where the
// default is something else, set its variable:
//
//	registry.Env(map[string]string{"PODINFO_RANDOM_ERROR_RATE": "0"})
func With(mods ...Module) Option {
	return func(o *options) { o.given = append(o.given, mods...) }
}

// A Check refuses a module that has a mistake, as [Capability.Check] does.
type Check interface{ Check(Module) error }

// Checks adds checks that every listed module has to pass, also those that are
// off. podinfo.New passes the capabilities of registry/capability, so that a method
// with the name of one and another signature is an error even if no listed module
// asks for it.
func Checks(checks ...Check) Option {
	return func(o *options) { o.checks = append(o.checks, checks...) }
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
// module has the name of an earlier one, it replaces it. New reports every
// error it finds; those about settings are of type [SettingError].
func New(mods []Module, opts ...Option) (*App, error) {
	o := options{build: Build{"0.0.0", "unknown"}, memory: Memory{512 << 20, "an assumed limit"}}
	for i, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("option %d is nil", i+1)
		}
		opt(&o)
	}
	a := &App{log: o.log, build: o.build, environ: o.environ, memory: o.memory, exit: o.exit, failed: make(chan error, 1)}
	vals := merge(o.defaults, o.file, o.env, o.flags)
	if err := a.list(mods, o.given, o.checks); err != nil {
		return nil, err
	}
	err := a.claim()
	if err == nil {
		err = a.make(vals)
	}
	if err != nil {
		a.undo()
		return nil, err
	}
	a.restore = nil
	return a, nil
}

// make configures, provisions and assembles the listed modules.
func (a *App) make(vals values) error {
	if err := a.configure(vals); err != nil {
		return err
	}
	if err := a.order(); err != nil {
		return err
	}
	if err := a.provisionAll(vals); err != nil {
		return err
	}
	a.settings = sync.OnceValue(a.settings) // no other is derived
	first, err := a.assemble(func(e *entry) bool { return e.state == On })
	if err != nil {
		return err
	}
	a.current.Store(first)
	return nil
}

// list registers mods and given, listeners last.
func (a *App) list(mods, given []Module, checks []Check) error {
	var errs []error
	for i, m := range slices.Concat(mods, given) {
		if isNil(m) {
			place, list := i+1, "the list"
			if i >= len(mods) {
				place, list = i+1-len(mods), "With"
			}
			errs = append(errs, fmt.Errorf("module %d of %s is nil", place, list))
			continue
		}
		e := &entry{Module: m, info: m.Info(), explicit: i >= len(mods)}
		var err error
		if e.fields, err = fieldsOf(m, e.info.prefix(), e.info.Name); err == nil {
			err = checkModule(m, e.info)
		}
		for _, c := range checks {
			err = errors.Join(err, c.Check(m))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("module %s: %w", e.info.Name, err))
		}
		if at := a.index(e.info.Name); at >= 0 {
			a.entries[at] = e
		} else {
			a.entries = append(a.entries, e)
		}
	}
	slices.SortStableFunc(a.entries, func(x, y *entry) int {
		switch {
		case x.listens() == y.listens():
			return 0
		case x.listens():
			return 1
		}
		return -1
	})
	return errors.Join(errs...)
}

// isNil reports whether m is nil or a nil pointer.
func isNil(m Module) bool {
	v := reflect.ValueOf(m)
	return m == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

func (e *entry) listens() bool {
	_, ok := e.Module.(Listener)
	return ok
}

func (a *App) index(name string) int {
	return slices.IndexFunc(a.entries, func(e *entry) bool { return e.info.Name == name })
}

// entry returns the listed module of this name, or nil.
func (a *App) entry(name string) *entry {
	if i := a.index(name); i >= 0 {
		return a.entries[i]
	}
	return nil
}

// configure decides which modules are on and fills their settings.
func (a *App) configure(vals values) error {
	own := slices.Clone(coreFields()) // fill adds the values
	infos := make([]declaration, len(a.entries))
	for i, e := range a.entries {
		infos[i] = declaration{e.info, e.fields}
	}
	declared, err := declare(own, infos)
	if err != nil {
		return err
	}
	a.warn(vals.trim(declared)...)
	errs, warning := unknown(vals, declared)
	a.warn(warning)
	note := func(warnings []string, err error) {
		a.warn(warnings...)
		errs = append(errs, err)
	}
	errs = append(errs, a.checkTerms(vals))
	targets, entries := []target{{&a.core, EnvPrefix, own}}, []*entry{nil}
	for _, e := range a.entries {
		var err error
		e.state, e.why, err = decide(e, vals, a.environ)
		switch {
		case err != nil:
			errs = append(errs, err)
		case e.state == Off:
			warnings, err := rehearse(e.Module, e.info.prefix(), e.fields, e.withoutSwitch(vals))
			note(warnings, e.blame(err))
		default:
			targets, entries = append(targets, target{e.Module, e.info.prefix(), e.fields}), append(entries, e)
		}
	}
	for i, err := range parseAll(targets, vals) {
		var warnings []string
		if err == nil {
			warnings, err = targets[i].validate(vals)
		}
		note(warnings, entries[i].blame(err))
	}
	errs = append(errs, a.core.checkBudget(own, vals))
	if err := joinOnce(errs); err != nil {
		return err
	}
	if a.core.Budget == 0 {
		a.core.Budget = budget.Size(a.memory.Limit / 4)
		derive(own, "Budget", a.core.Budget, a.memory.share(4))
	}
	a.budget = budget.New(int64(a.core.Budget))
	a.declared, a.own = declared, own
	a.settings = func() []Setting { return a.valued(vals) }
	a.warn(a.idle(vals))
	return a.begin(vals)
}

// warn adds warnings, each once: modules that share a setting repeat them.
func (a *App) warn(warnings ...string) {
	for _, w := range warnings {
		if w != "" && !slices.Contains(a.warnings, w) {
			a.warnings = append(a.warnings, w)
		}
	}
}

// blame adds the module's name to an error that is not about a setting, which
// names itself. Those of the App have no entry.
func (e *entry) blame(err error) error {
	if _, setting := errors.AsType[*SettingError](err); err == nil || setting || e == nil {
		return err
	}
	return fmt.Errorf("module %s: %w", e.info.Name, err)
}

// joinOnce joins errors and drops repetitions: modules that share a setting
// refuse the same value.
func joinOnce(errs []error) error {
	var out []error
	for _, err := range flatten(errs...) {
		if !slices.ContainsFunc(out, func(x error) bool { return x.Error() == err.Error() }) {
			out = append(out, err)
		}
	}
	return errors.Join(out...)
}

// valued gives each declared setting the value and source in effect. A module
// that is off is not configured: its settings show what it would be given.
func (a *App) valued(vals values) []Setting {
	known := make(map[string]*Setting, len(a.declared))
	add := func(fields []field) {
		for i := range fields {
			s := &fields[i].Setting
			if _, twice := known[s.Key]; !twice {
				known[s.Key] = s
			}
		}
	}
	add(a.own)
	for _, e := range a.entries {
		if e.state != Off {
			add(e.fields)
		}
	}
	declared := make([]Setting, len(a.declared))
	for i, s := range a.declared {
		declared[i] = *s
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
func (a *App) begin(vals values) error {
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
	for _, w := range a.warnings {
		a.log.Warn(w)
	}
	a.seed = rand.Uint64()
	if a.core.Seed != nil {
		a.seed = *a.core.Seed
	}
	return nil
}

// ServeHTTP serves the routes of the modules that are linked.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.current.Load().ServeHTTP(w, r)
}

// Assembly returns what is linked now.
func (a *App) Assembly() *Assembly { return a.current.Load() }

// Settings lists what can be set, with the values in effect. The caller must not
// modify the result.
func (a *App) Settings() []Setting { return slices.Clip(a.settings()) }

// Warnings lists what New has logged about settings that it accepts and that
// do nothing, or not what was asked for.
func (a *App) Warnings() []string { return slices.Clone(a.warnings) }

// CheckSettings returns [App.Warnings] and what modules that are on and implement
// [SettingsChecker] say about their settings. Call it before Start.
func (a *App) CheckSettings() []string {
	out := a.Warnings()
	for _, e := range a.entries {
		if c, ok := e.Module.(SettingsChecker); ok && e.state != Off {
			out = append(out, c.CheckSettings()...)
		}
	}
	return out
}

// Seed returns the seed of the App's randomness.
func (a *App) Seed() uint64 { return a.seed }

// Log returns the logger of the App.
func (a *App) Log() *logrus.Logger { return a.log }

// Get returns the listed module of a name, or nil.
func (a *App) Get(name string) Module {
	if e := a.entry(name); e != nil {
		return e.Module
	}
	return nil
}

// Modules is [Assembly.Modules] of what is linked now.
func (a *App) Modules() []Status { return a.Assembly().Modules() }

// Mounted is [Assembly.Mounted] of what is linked now.
func (a *App) Mounted() []Mounted { return a.Assembly().Mounted() }
