package accesslog

import "testing"

func TestParentTraceID(t *testing.T) {
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for header, want := range map[string]string{
		"00-" + trace + "-" + parent + "-01":                  trace,
		"00-" + trace + "-" + parent + "-00":                  trace,
		"cc-" + trace + "-" + parent + "-01-what-comes-later": trace,
		"":                           "",
		"00":                         "",
		"00-" + trace + "-" + parent: "",
		"00-" + trace + "-" + parent + "-01-more":               "",
		"cc-" + trace + "-" + parent + "-01.more":               "",
		"ff-" + trace + "-" + parent + "-01":                    "",
		"0x-" + trace + "-" + parent + "-01":                    "",
		"00_" + trace + "-" + parent + "-01":                    "",
		"00-" + trace + "_" + parent + "-01":                    "",
		"00-" + trace + "-" + parent + "_01":                    "",
		"00-" + trace + "-" + parent + "-0X":                    "",
		"00-0AF7651916CD43DD8448EB211C80319C-" + parent + "-01": "",
		"00-00000000000000000000000000000000-" + parent + "-01": "",
		"00-" + trace + "-0000000000000000-01":                  "",
		"00-" + trace + "-b7ad6b716920333z-01":                  "",
	} {
		if got := parentTraceID(header); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}
