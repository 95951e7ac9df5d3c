package scenario

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/internal/suggest"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// value decodes n into v. field is the path to v, and limits are its tags.
func (d *decoder) value(n *yaml.Node, v reflect.Value, field string, limits reflect.StructTag) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
		d.inAlias++
		defer func() { d.inAlias-- }()
	}
	if d.inAlias > 0 && d.tooMany(n, field) {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if scalar := limits.Get("scalar"); scalar != "" && n.Kind == yaml.ScalarNode {
		f, _ := fieldOf(v.Type(), scalar)
		d.value(n, v.FieldByIndex(f.Index), field, f.Tag)
		return
	}
	if d.special(n, v, field) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, field)
	case reflect.Map:
		d.mapping(n, v, field)
	case reflect.Slice:
		d.list(n, v, field)
	default:
		d.scalar(n, v, field, limits)
	}
}

// tooMany counts the values read through aliases, which a short file can multiply
// without bounds.
func (d *decoder) tooMany(n *yaml.Node, field string) bool {
	d.aliased++
	if d.aliased == maxAliased+1 {
		d.fail(n, field, "more than %d values through YAML aliases; use fewer", maxAliased)
	}
	return d.aliased > maxAliased
}

// special decodes the types with their own syntax. It returns false for others.
func (d *decoder) special(n *yaml.Node, v reflect.Value, field string) bool {
	switch p := v.Addr().Interface().(type) {
	case *Duration:
		x, err := time.ParseDuration(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || x < 0 {
			d.fail(n, field, "%s is not a duration; use one such as 50µs, 200ms or 1.5s", shown(n))
		}
		*p = Duration(x)
	case *Clock:
		x, err := time.Parse("15:04:05", n.Value)
		if err != nil {
			x, err = time.Parse("15:04", n.Value)
		}
		if n.Kind != yaml.ScalarNode || err != nil {
			d.fail(n, field, "%s is not a time of day; use one such as 22:30", shown(n))
			return true
		}
		*p = Clock(x.Sub(x.Truncate(24 * time.Hour)))
	case *Time:
		x, err := time.Parse(time.RFC3339, n.Value)
		if n.Kind != yaml.ScalarNode || err != nil {
			d.fail(n, field, "%s is not a point in time; use one such as 2026-03-01T09:30:00Z", shown(n))
			return true
		}
		*p = Time{x.UTC()}
	case *Sync:
		*p = Sync(d.word(n, field, string(Fleet)))
	case *Texts:
		if n.Kind != yaml.ScalarNode {
			return false
		}
		*p = Texts{n.Value}
	case *Percent:
		x, err := strconv.ParseFloat(strings.TrimSuffix(n.Value, "%"), 64)
		if n.Kind != yaml.ScalarNode || err != nil || !(x >= 0 && x <= 100) {
			d.fail(n, field, "%s is not a percentage; use one from 0%% to 100%%, such as 2.5%%", shown(n))
		}
		*p = Percent(x)
	case *Weekday:
		*p = Weekday(d.word(n, field, weekdays()...))
	case *Outcome:
		*p = Outcome(d.word(n, field, string(Hit), string(Pass)))
	case *Certificate:
		*p = Certificate(d.word(n, field, words(Certificates())...))
	case *TLSEnd:
		*p = TLSEnd(d.word(n, field, words(TLSEnds())...))
	case *Direction:
		*p = Direction(d.word(n, field, string(Out), string(In), string(BothWay)))
	case *RetryForm:
		*p = RetryForm(d.word(n, field, string(Seconds), string(Date)))
	case *Stage:
		*p = Stage(d.word(n, field, string(BeforeHandler), string(AfterHandler)))
	case *HTTP2Code:
		*p = HTTP2Code(d.word(n, field, HTTP2Codes()...))
	case *At:
		*p = At(d.word(n, field, string(Before), string(Chunks), string(Both)))
	case encoding.TextUnmarshaler:
		if n.Kind != yaml.ScalarNode || p.UnmarshalText([]byte(n.Value)) != nil {
			d.fail(n, field, "%s is not a gRPC status code%s", shown(n), cmp.Or(suggest.Word(n.Value, screaming()), "; use one such as UNAVAILABLE"))
		} else if c, ok := p.(*rpc.Code); ok && *c == rpc.OK {
			d.fail(n, field, "OK is not an error; use another status code")
		}
	default:
		return false
	}
	return true
}

// screaming returns the codes as protocol buffers write them: NOT_FOUND.
func screaming() (out []string) {
	for _, c := range rpc.Codes() {
		var b strings.Builder
		for i, r := range c {
			if i > 0 && r >= 'A' && r <= 'Z' && c != "OK" {
				b.WriteByte('_')
			}
			b.WriteRune(r)
		}
		out = append(out, strings.ToUpper(b.String()))
	}
	return out
}

func (d *decoder) word(n *yaml.Node, field string, words ...string) string {
	for _, w := range words {
		if n.Kind == yaml.ScalarNode && n.Value == w {
			return w
		}
	}
	d.fail(n, field, "%s is not one of %s%s", shown(n), strings.Join(words, ", "), suggest.Word(n.Value, words))
	return ""
}

// shown returns a value as errors show it.
func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	return strconv.Quote(n.Value)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return key
}

func fieldOf(t reflect.Type, key string) (found reflect.StructField, ok bool) {
	for f := range t.Fields() {
		if keyOf(f) == key {
			return f, true
		}
	}
	return found, false
}

func keysOf(t reflect.Type) (out []string) {
	for f := range t.Fields() {
		out = append(out, keyOf(f))
	}
	return out
}

var percentile = lazyregexp.New(`^p(\d{1,3}(\.\d+)?)$`)

func (d *decoder) structure(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, field, "%s is not a map; use the keys %s", shown(n), strings.Join(keysOf(v.Type()), ", "))
		return
	}
	if v.Type() == reflect.TypeFor[Rule]() {
		d.begin(n)
		defer func() { d.rule = "" }()
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, x := n.Content[i], n.Content[i+1]
		at := join(field, k.Value)
		if seen[k.Value] {
			d.fail(k, at, "duplicate key; remove one")
		}
		seen[k.Value] = true
		f, ok := fieldOf(v.Type(), k.Value)
		if !ok && d.inline(k, x, v, field) {
			continue
		}
		if !ok {
			keys := keysOf(v.Type())
			d.fail(k, field, "unknown key %q%s", k.Value, cmp.Or(under(v.Type(), k.Value), suggest.Word(k.Value, keys), "; use one of "+strings.Join(keys, ", ")))
			continue
		}
		d.at[d.rule+"\x00"+at] = x
		if x.Kind == yaml.ScalarNode && x.Tag == "!!null" {
			d.fail(x, at, "no value; add one%s", instead(f))
			continue
		}
		if x.Kind == yaml.ScalarNode && x.Value == "" && isCondition(v.Type(), f) {
			d.fail(x, at, "empty, which is not a condition; add a value or remove the key")
			continue
		}
		d.value(x, v.FieldByIndex(f.Index), at, f.Tag)
	}
	for f := range v.Type().Fields() {
		if k := keyOf(f); f.Tag.Get("required") != "" && !seen[k] && (k != "name" || d.named == "") {
			d.fail(n, field, "missing key %q (%s)", k, f.Tag.Get("doc"))
		}
	}
}

// isCondition reports whether a field of t is a text that selects requests, times or
// servers.
func isCondition(t reflect.Type, f reflect.StructField) bool {
	selects := t == reflect.TypeFor[Match]() || t == reflect.TypeFor[Instance]() || t == reflect.TypeFor[When]()
	return selects && f.Type.Kind() == reflect.String
}

// under says where a key belongs that is one of a map within t.
func under(t reflect.Type, key string) string {
	for f := range t.Fields() {
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct || keyOf(f) == "" {
			continue
		}
		if _, ok := fieldOf(inner, key); ok {
			return fmt.Sprintf("; it belongs under %s", keyOf(f))
		}
	}
	return ""
}

// instead returns what else to do about a key without a value.
func instead(f reflect.StructField) string {
	if f.Type == reflect.TypeFor[[]*Rule]() {
		return ", or [] for none"
	}
	return " or remove the key"
}

// begin remembers the name of the rule being read.
func (d *decoder) begin(n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "name" && n.Content[i+1].Kind == yaml.ScalarNode {
			d.rule = strconv.Quote(n.Content[i+1].Value)
		}
	}
}

// inline decodes a percentile such as p50: 80ms among the keys of a delay.
func (d *decoder) inline(k, x *yaml.Node, v reflect.Value, field string) bool {
	if !percentile().MatchString(k.Value) {
		return false
	}
	for f := range v.Type().Fields() {
		if f.Tag.Get("percentiles") == "" {
			continue
		}
		m := v.FieldByIndex(f.Index)
		if m.IsNil() {
			m.Set(reflect.MakeMap(m.Type()))
		}
		d.entry(k, x, m, join(field, k.Value))
		return true
	}
	return false
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, field, "%s is not a map", shown(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if v.MapIndex(reflect.ValueOf(k.Value)).IsValid() {
			d.fail(k, join(field, k.Value), "duplicate key; remove one")
		}
		d.entry(k, n.Content[i+1], v, join(field, k.Value))
	}
}

func (d *decoder) entry(k, x *yaml.Node, m reflect.Value, field string) {
	elem := reflect.New(m.Type().Elem()).Elem()
	d.value(x, elem, field, "")
	m.SetMapIndex(reflect.ValueOf(k.Value), elem)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, field, "%s is not a list", shown(n))
		return
	}
	switch rules := v.Type() == reflect.TypeFor[[]*Rule](); {
	case rules && len(n.Content) > MaxRules:
		d.fail(n, field, "more than %d rules; use fewer", MaxRules)
		return
	case !rules && len(n.Content) == 0:
		d.fail(n, field, "an empty list; add a value or remove the key")
		return
	}
	for i, x := range n.Content {
		elem := reflect.New(v.Type().Elem()).Elem()
		at := fmt.Sprintf("%s[%d]", field, i)
		isRule, before := v.Type() == reflect.TypeFor[[]*Rule](), len(d.errs)
		if isRule {
			d.rule, at = fmt.Sprintf("#%d", i+1), ""
		}
		d.value(x, elem, at, "")
		if isRule && len(d.errs) > before {
			d.bad[i] = true
		}
		v.Set(reflect.Append(v, elem))
	}
}

// scalar decodes strings, numbers and booleans. A number is accepted as a string.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, field string, limits reflect.StructTag) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, field, "%s is not %s", shown(n), typeName(v.Kind()))
		return
	}
	var err error
	var number float64
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
		return
	case reflect.Bool:
		var b bool
		if n.Tag != "!!bool" {
			err = strconv.ErrSyntax
		} else {
			b, err = strconv.ParseBool(n.Value)
		}
		v.SetBool(b)
	case reflect.Int:
		var x int64
		x, err = strconv.ParseInt(n.Value, 10, 64)
		v.SetInt(x)
		number = float64(x)
	case reflect.Uint64:
		var x uint64
		x, err = strconv.ParseUint(n.Value, 10, 64)
		v.SetUint(x)
		number = float64(x)
	case reflect.Float64:
		number, err = strconv.ParseFloat(n.Value, 64)
		if math.IsNaN(number) || math.IsInf(number, 0) {
			err = strconv.ErrRange
		}
		v.SetFloat(number)
	}
	if err != nil {
		d.fail(n, field, "%s is not %s", shown(n), typeName(v.Kind()))
		return
	}
	d.within(n, number, field, limits)
}

func (d *decoder) within(n *yaml.Node, x float64, field string, limits reflect.StructTag) {
	lo, hasLo := bound(limits, "min")
	hi, hasHi := bound(limits, "max")
	switch {
	case hasLo && hasHi && (x < lo || x > hi):
		d.fail(n, field, "%s is out of range; use a number from %v to %v", n.Value, limits.Get("min"), limits.Get("max"))
	case hasLo && x < lo:
		d.fail(n, field, "%s is out of range; use a number of at least %v", n.Value, limits.Get("min"))
	}
}

func bound(tag reflect.StructTag, name string) (float64, bool) {
	x, err := strconv.ParseFloat(tag.Get(name), 64)
	return x, err == nil
}

// typeName returns what errors call the values of a Go kind.
func typeName(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number of at least 0"
	case reflect.Float64:
		return "a number"
	}
	return "a string"
}

// words returns the text of each value.
func words[T ~string](values []T) (out []string) {
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}
