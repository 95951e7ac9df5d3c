package metrics

import (
	"io"
	"os"
	rt "runtime/metrics"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/metrics"
)

// writeUpstream writes the metrics of Prometheus's Go client, which upstream uses,
// that the library lacks. Those of the process exist on Linux only.
func writeUpstream(w io.Writer) {
	names := []string{"go_gc_gogc_percent", "go_gc_gomemlimit_bytes", "go_sched_gomaxprocs_threads"}
	samples := []rt.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}, {Name: "/sched/gomaxprocs:threads"}}
	rt.Read(samples)
	for i, s := range samples {
		if s.Value.Kind() == rt.KindUint64 {
			metrics.WriteGaugeUint64(w, names[i], s.Value.Uint64())
		}
	}
	if limit, ok := addressSpace(); ok {
		metrics.WriteGaugeUint64(w, "process_virtual_memory_max_bytes", limit)
	}
	ip := ipExtension()
	for name, field := range map[string]string{"receive": "InOctets", "transmit": "OutOctets"} {
		if n, err := strconv.ParseUint(ip[field], 10, 64); err == nil {
			metrics.WriteCounterUint64(w, "process_network_"+name+"_bytes_total", n)
		}
	}
}

// addressSpace returns the soft limit of the virtual memory, the largest number if
// there is no limit.
func addressSpace() (limit uint64, ok bool) {
	text, _ := os.ReadFile("/proc/self/limits")
	for line := range strings.Lines(string(text)) {
		rest, found := strings.CutPrefix(line, "Max address space")
		fields := strings.Fields(rest)
		if !found || len(fields) == 0 {
			continue
		}
		if fields[0] == "unlimited" {
			return 1<<64 - 1, true
		}
		limit, err := strconv.ParseUint(fields[0], 10, 64)
		return limit, err == nil
	}
	return 0, false
}

// ipExtension returns the IP counters of the process's network namespace by name. The file
// has a line of names and a line of values for each protocol.
func ipExtension() map[string]string {
	text, _ := os.ReadFile("/proc/self/net/netstat")
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] != "IpExt:":
		case names == nil:
			names = fields
		case len(fields) == len(names):
			values := map[string]string{}
			for i, name := range names {
				values[name] = fields[i]
			}
			return values
		}
	}
	return nil
}
