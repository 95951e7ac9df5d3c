package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"

	"example.com/thirdparty/hello"
	"example.com/thirdparty/tea"
)

func TestModules(t *testing.T) {
	app, err := podinfo.New(registry.With(new(hello.Module), new(tea.Module)), registry.Env(map[string]string{"PODINFO_HELLO_NAME": "you"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, additions string
		code            int
		body            string
	}{
		{"/hello", "", 200, `"hello": "you"`},
		{"/hello", "milk", 418, "teapot"},
		{"/version", "milk", 418, "teapot"}, // a stock endpoint, too
	} {
		req := httptest.NewRequest(http.MethodGet, c.path, nil)
		if c.additions != "" {
			req.Header.Set("Accept-Additions", c.additions)
		}
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, req)
		if rec.Code != c.code || !strings.Contains(rec.Body.String(), c.body) {
			t.Errorf("%+v: %d %s", c, rec.Code, rec.Body)
		}
	}
}

// Both keep to what the registry wants of a module.
func TestContract(t *testing.T) {
	podinfotest.Check(t, new(hello.Module), "PODINFO_HELLO_NAME=you")
	podinfotest.Check(t, new(tea.Module))
}
