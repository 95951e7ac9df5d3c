package tcpproxy

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// toxic is a toxic of toxiproxy. It acts through a rule, and exists as long as that
// rule does. The tags are the JSON of toxiproxy 2.12.
type toxic struct {
	Attributes attributes `json:"attributes"`
	Name       string     `json:"name"`
	Type       string     `json:"type"`
	Stream     string     `json:"stream"`
	Toxicity   float32    `json:"toxicity"`

	rule *scenario.Rule
}

// attributes are those of one type of toxic.
type attributes interface {
	// fault returns the fault with the same effect.
	fault() scenario.Fault
}

// newAttributes returns the attributes of a type, nil for an unknown type.
func newAttributes(kind string) attributes {
	switch kind {
	case "latency":
		return new(latencyToxic)
	case "bandwidth":
		return new(bandwidthToxic)
	case "slow_close":
		return new(slowCloseToxic)
	case "timeout":
		return new(timeoutToxic)
	case "reset_peer":
		return new(resetPeerToxic)
	case "slicer":
		return new(slicerToxic)
	case "limit_data":
		return new(limitDataToxic)
	}
	return nil
}

type latencyToxic struct {
	Latency int64 `json:"latency"`
	Jitter  int64 `json:"jitter"`
}

func (t *latencyToxic) fault() scenario.Fault {
	least, most := t.Latency-max(t.Jitter, 0), t.Latency+max(t.Jitter, 0)
	switch {
	case most <= 0 || most == least:
		return scenario.Fault{Latency: &scenario.Delay{Fixed: units(most, time.Millisecond)}}
	case least >= 0:
		return scenario.Fault{Latency: &scenario.Delay{Uniform: &scenario.Uniform{Min: *units(least, time.Millisecond), Max: *units(most, time.Millisecond)}}}
	}
	zero := strconv.FormatFloat(100*float64(-least)/float64(most-least), 'f', -1, 64) // percentage that is not delayed
	return scenario.Fault{Latency: &scenario.Delay{Table: map[string]scenario.Duration{"p0": 0, "p" + zero: 0, "p100": *units(most, time.Millisecond)}}}
}

type bandwidthToxic struct {
	Rate int64 `json:"rate"`
}

func (t *bandwidthToxic) fault() scenario.Fault {
	if t.Rate <= 0 {
		return scenario.Fault{Hold: true}
	}
	return scenario.Fault{Bandwidth: int(min(t.Rate, math.MaxInt/1000)) * 1000}
}

type slowCloseToxic struct {
	Delay int64 `json:"delay"`
}

func (t *slowCloseToxic) fault() scenario.Fault {
	return scenario.Fault{SlowClose: units(t.Delay, time.Millisecond)}
}

type timeoutToxic struct {
	Timeout int64 `json:"timeout"`
}

func (t *timeoutToxic) fault() scenario.Fault {
	return scenario.Fault{Silence: &scenario.TCPSilence{Close: *units(t.Timeout, time.Millisecond)}}
}

type resetPeerToxic struct {
	Timeout int64 `json:"timeout"`
}

func (t *resetPeerToxic) fault() scenario.Fault {
	return scenario.Fault{Close: &scenario.TCPClose{Bytes: new(int), After: *units(t.Timeout, time.Millisecond), Reset: true}}
}

type slicerToxic struct {
	AverageSize   int `json:"average_size"`
	SizeVariation int `json:"size_variation"`
	Delay         int `json:"delay"`
}

func (t *slicerToxic) fault() scenario.Fault {
	size := max(t.AverageSize, 1)
	return scenario.Fault{Slice: &scenario.TCPSlice{
		Size: size, Variation: min(max(t.SizeVariation, 0), size-1), Delay: *units(int64(t.Delay), time.Microsecond),
	}}
}

type limitDataToxic struct {
	Bytes int64 `json:"bytes"`
}

func (t *limitDataToxic) fault() scenario.Fault {
	n := int(max(t.Bytes, 0))
	return scenario.Fault{Close: &scenario.TCPClose{Bytes: &n}}
}

// units returns n units of time, at least 0 and without an overflow.
func units(n int64, unit time.Duration) *scenario.Duration {
	d := scenario.Duration(min(max(n, 0), math.MaxInt64/int64(unit)) * int64(unit))
	return &d
}

// ruleName is the name of the rule of a toxic.
func ruleName(proxy, toxic string) string { return proxy + "." + toxic }

// compile makes the rule of the toxic.
func (t *toxic) compile(proxy string) error {
	f := t.Attributes.fault()
	if f.Direction = scenario.Out; strings.EqualFold(t.Stream, "upstream") {
		f.Direction = scenario.In
	}
	r := &scenario.Rule{Name: ruleName(proxy, t.Name), Match: scenario.Match{TCP: proxy}, Fault: &f, Combine: true}
	if t.Toxicity < 1 {
		share, _ := strconv.ParseFloat(strconv.FormatFloat(max(float64(t.Toxicity), 0), 'g', -1, 32), 64)
		r.Match.Percent = new(100 * share)
	}
	b, err := json.Marshal(r)
	if err == nil {
		t.rule, err = scenario.ParseRule("toxic", r.Name, b)
	}
	return err
}

// clone returns a copy with its own attributes.
func (t *toxic) clone() *toxic {
	c := *t
	c.Attributes = newAttributes(t.Type)
	b, err := json.Marshal(t.Attributes)
	if err == nil {
		err = json.Unmarshal(b, c.Attributes)
	}
	if err != nil {
		panic(fmt.Errorf("the attributes of a toxic are numbers: %w", err))
	}
	return &c
}
