package delay_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/endpoints/delay"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/wait/waittest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDelay(t *testing.T) {
	tooLong := "{\n  \"code\": 400,\n  \"message\": \"wait out of range: want 0s to 1m0s\"\n}"
	for _, c := range []struct {
		path string
		code int
		took time.Duration
		body string
	}{
		{"/delay/0", 200, 0, "{\n  \"delay\": 0\n}"},
		{"/delay/3", 200, 3 * time.Second, "{\n  \"delay\": 3\n}"},
		{"/delay/60", 200, time.Minute, "{\n  \"delay\": 60\n}"},
		{"/delay/250ms", 200, 250 * time.Millisecond, "{\n  \"delay\": 0.25\n}"},
		{"/delay/1.5s", 200, 1500 * time.Millisecond, "{\n  \"delay\": 1.5\n}"},
		{"/delay/61", 400, 0, tooLong},
		{"/delay/1h", 400, 0, tooLong},
		{"/delay/-1", 400, 0, tooLong},
		{"/delay/9223372037", 400, 0, tooLong},
		{"/delay/99999999999999999999", 400, 0, tooLong},
		{"/delay/soon", 404, 0, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
		{"/delay/1.5", 404, 0, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
		{"/delay/", 404, 0, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
	} {
		synctest.Test(t, func(t *testing.T) {
			app, _ := registrytest.New(t, map[string]string{"PODINFO_DELAY_MAX": "1m"}, new(delay.Module))
			rec, began := httptest.NewRecorder(), time.Now()
			app.ServeHTTP(rec, httptest.NewRequest("GET", c.path, nil))
			if took := time.Since(began); rec.Code != c.code || rec.Body.String() != c.body || took != c.took {
				t.Errorf("%s: %d %q after %v, want %+v", c.path, rec.Code, rec.Body, took, c)
			}
		})
	}
}

func TestEndsWhenTheClientDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, nil, new(delay.Module))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rec, began := httptest.NewRecorder(), time.Now()
		app.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", "/delay/60", nil))
		if took := time.Since(began); took != time.Second || rec.Body.Len() > 0 {
			t.Errorf("%q after %v", rec.Body, took)
		}
	})
}

func TestRespondsAfterTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, nil, new(delay.Module))
		res, err := waittest.Serve(t, app, 2*time.Second).Get("http://test/delay/1h")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); string(body) != "{\n  \"delay\": 3600\n}" {
			t.Errorf("%q, %v", body, err)
		}
	})
}

func TestSettings(t *testing.T) {
	_, err := registry.New([]registry.Module{new(delay.Module)}, registry.Env(map[string]string{"PODINFO_DELAY_MAX": "-1s"}))
	if _, ok := errors.AsType[*registry.SettingError](err); !ok {
		t.Error(err)
	}
}
