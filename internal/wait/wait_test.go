package wait_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/internal/wait/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
		err  error
	}{
		{"0", 0, nil},
		{"3", 3 * time.Second, nil},
		{"007", 7 * time.Second, nil},
		{"3600", time.Hour, nil},
		{"1h", time.Hour, nil},
		{"250ms", 250 * time.Millisecond, nil},
		{"1.5s", 1500 * time.Millisecond, nil},
		{"1m.5s", 60500 * time.Millisecond, nil},
		{"-0", 0, nil},
		{"3601", 0, wait.ErrRange},
		{"1h1ns", 0, wait.ErrRange},
		{"-1", 0, wait.ErrRange},
		{"-1ms", 0, wait.ErrRange},
		{"9223372037", 0, wait.ErrRange},
		{"9223372036854775808", 0, wait.ErrRange},
		{"99999999999999999999h", 0, wait.ErrRange},
		{"", 0, wait.ErrSyntax},
		{"abc", 0, wait.ErrSyntax},
		{"1.5", 0, wait.ErrSyntax},
		{"+3", 0, wait.ErrSyntax},
		{"+3s", 0, wait.ErrSyntax},
		{"1e3", 0, wait.ErrSyntax},
		{"3 s", 0, wait.ErrSyntax},
		{"3\n", 0, wait.ErrSyntax},
		{".s", 0, wait.ErrSyntax},
		{"٣", 0, wait.ErrSyntax},
	} {
		if got, err := wait.Parse(c.in, time.Hour); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q: %v, %v, want %v, %v", c.in, got, err, c.want, c.err)
		}
	}
}

func FuzzWait(f *testing.F) {
	for _, s := range []string{"3", "-3", "250ms", "1h1m1.5s", "9223372036854775807", "x", "1.5", "1µs", "1μs", ".5s", "5.s"} {
		f.Add(s, int64(time.Hour))
	}
	f.Fuzz(func(t *testing.T, s string, most int64) {
		d, err := wait.Parse(s, time.Duration(most))
		if err == nil && (d < 0 || d > time.Duration(most)) {
			t.Errorf("%q: %v is not in 0..%v", s, d, time.Duration(most))
		}
		if err != nil && !errors.Is(err, wait.ErrSyntax) && !errors.Is(err, wait.ErrRange) {
			t.Errorf("%q: %v", s, err)
		}
		if want, e := time.ParseDuration(s); e == nil && err == nil && d != want {
			t.Errorf("%q: %v, want %v", s, d, want)
		}
	})
}

// TestExtend checks that a response after the write timeout arrives with
// Extend, and fails without it.
func TestExtend(t *testing.T) {
	for extend, want := range map[bool]string{true: "late", false: ""} {
		synctest.Test(t, func(t *testing.T) {
			client := waittest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if extend {
					wait.Extend(w, r, time.Minute)
				}
				time.Sleep(time.Minute)
				io.WriteString(w, "late")
			}), 2*time.Second)
			var body []byte
			res, err := client.Get("http://test/")
			if err == nil {
				body, _ = io.ReadAll(res.Body)
				res.Body.Close()
			}
			if string(body) != want {
				t.Errorf("extended %v: %q, %v", extend, body, err)
			}
		})
	}
}
