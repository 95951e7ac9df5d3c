package scenario

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Distribution is a probability distribution of durations.
type Distribution interface {
	// Quantile is the inverse of the distribution function: the duration, in
	// nanoseconds, that a share u of all draws is below, for 0 < u < 1. It
	// may be negative or infinite.
	Quantile(u float64) float64
}

// Distribution returns the distribution of a delay that was checked.
func (d *Delay) Distribution() Distribution {
	switch {
	case d.Uniform != nil:
		return uniform{float64(d.Uniform.Min), float64(d.Uniform.Max)}
	case d.Normal != nil:
		return normal{float64(d.Normal.Mean), float64(d.Normal.StdDev)}
	case d.Lognormal != nil:
		p, _ := points(d.Lognormal)
		return through(p[0], p[1])
	case d.Exponential != nil:
		return exponential(d.Exponential.Mean)
	case d.Pareto != nil:
		return pareto{float64(d.Pareto.Min), d.Pareto.Shape}
	case d.Table != nil:
		p, _ := points(d.Table)
		return table(p)
	}
	return fixed(*d.Fixed)
}

type fixed float64

func (d fixed) Quantile(float64) float64 { return float64(d) }

type uniform struct{ min, max float64 }

func (d uniform) Quantile(u float64) float64 { return d.min + u*(d.max-d.min) }

type normal struct{ mean, deviation float64 }

func (d normal) Quantile(u float64) float64 { return d.mean + d.deviation*standard(u) }

// standard is the quantile of the normal distribution with mean 0 and standard
// deviation 1.
func standard(u float64) float64 { return math.Sqrt2 * math.Erfinv(2*u-1) }

// lognormal is the distribution of e to the power of a normal draw.
type lognormal struct{ mean, deviation float64 }

func (d lognormal) Quantile(u float64) float64 { return math.Exp(d.mean + d.deviation*standard(u)) }

// through returns the log-normal distribution with two given percentiles.
func through(a, b point) lognormal {
	za, zb := standard(a.share), standard(b.share)
	deviation := (math.Log(b.at) - math.Log(a.at)) / (zb - za)
	return lognormal{math.Log(a.at) - deviation*za, deviation}
}

type exponential float64

func (d exponential) Quantile(u float64) float64 { return -float64(d) * math.Log1p(-u) }

type pareto struct{ min, shape float64 }

func (d pareto) Quantile(u float64) float64 { return d.min * math.Pow(1-u, -1/d.shape) }

// table interpolates linearly between percentiles, which include p0 and p100.
type table []point

type point struct{ share, at float64 }

func (d table) Quantile(u float64) float64 {
	i := 1
	for i < len(d)-1 && d[i].share < u {
		i++
	}
	a, b := d[i-1], d[i]
	return a.at + (b.at-a.at)*(u-a.share)/(b.share-a.share)
}

// points returns percentiles in ascending order. ok is false when a name is
// invalid or two are equal.
func points(m map[string]Duration) (out []point, ok bool) {
	for name, at := range m {
		p, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
		if err != nil || !percentile().MatchString(name) || p > 100 {
			return nil, false
		}
		out = append(out, point{p / 100, float64(at)})
	}
	slices.SortFunc(out, func(a, b point) int {
		if a.share < b.share {
			return -1
		}
		return 1
	})
	for i := 1; i < len(out); i++ {
		if out[i].share == out[i-1].share { // p50 and p50.0
			return nil, false
		}
	}
	return out, true
}

// bounded converts a draw into a duration from 0 to most.
func bounded(ns float64, most time.Duration) time.Duration {
	switch {
	case !(ns > 0):
		return 0
	case ns >= float64(most):
		return most
	}
	return time.Duration(ns)
}
