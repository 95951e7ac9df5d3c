package scenarios_test

import "time"

// responses are scenarios of responses that are not what they seem.
var responses = map[string][]run{
	"broken-wire": {{on: behindProxy, steps: []step{
		{do: get("/"), times: 2000, counts: counts{
			"200": {1850, 1915}, "cut short": {9, 34}, "bad chunk": {9, 34}, "reset": {20, 62}, "no response": {9, 34}, "not HTTP": {9, 34},
		}},
	}}},
	"slow-network": {
		{on: behindProxy, steps: []step{
			{do: get("/", "User-Agent", "Safari Mobile"), want: "200", took: took{1900 * time.Millisecond, 2100 * time.Millisecond}}, // 4 KiB
			{do: get("/").within(2 * time.Second), times: 200, counts: counts{"200": {179, 199}, "timeout": {1, 21}}},
		}},
		{steps: []step{{do: get("/chunked/1"), times: 20, want: "20×200", took: took{1100 * time.Millisecond, 3 * time.Second}}}},
	},
	"error-in-200": {{on: behindProxy, steps: []step{
		{do: send("PUT", "/files/a", "x").show("size"), times: 5, want: "4×200 4096, 200 34"},
		{do: get("/files/a").show("Content-Type", "size"), times: 5, want: "4×200 text/plain; charset=utf-8 4096, 200 application/json 10"},
	}}},
	"wrong-framing": {{on: behindProxy, steps: []step{
		{do: get("/").show("size"), times: 300, counts: counts{
			"200 4096": {157, 203}, "cut short": {16, 46}, "200 4086": {16, 46}, "not gzip": {16, 46}, "200 8192": {16, 46},
		}},
	}}},
	"redirect-loop": {{steps: []step{
		{do: get("/version", "X-Forwarded-Proto", "http"), want: "too many redirects"},
		{do: get("/version", "X-Forwarded-Proto", "https"), want: "200"},
	}}},
	"stale-cache": {{on: behindProxy, steps: []step{
		{do: get("/prices").pooled().show("Age", "Cache-Control", "ETag"), times: 200, counts: counts{
			`200   "1"`: {82, 118}, "200 86400 max-age=60 ": {82, 118},
		}},
	}}},
	"congestion": {{on: behindProxy, steps: []step{
		{do: get("/"), times: 20, counts: counts{"200": {20, 20}}, took: took{-1, 500 * time.Millisecond}},
		{wait: 5 * time.Minute, do: get("/"), times: 10, want: "10×200", took: took{3900 * time.Millisecond, 4100 * time.Millisecond}}, // 4 KiB
	}}},
	"bit-rot": {{on: behindProxy, steps: []step{
		{do: get("/files/a").pooled().show("wrong bits", "size"), times: 200, counts: counts{"200 0 wrong bits 4096": {168, 192}, "200 1 wrong bits 4096": {8, 32}}},
	}}},
	"early-hints": {{steps: []step{
		{do: interim{get("/version")}, want: "102, 103, 200 </app.css>; rel=preload"},
	}}},
}

// audiences are scenarios that choose whom they hit.
var audiences = map[string][]run{
	"one-tenant": {{steps: []step{
		{do: get("/api/info", "Authorization", bearer("acme-eu")), times: 5, want: "5×500"},
		{do: get("/api/info", "Authorization", bearer("globex")), times: 5, want: "5×200"},
		{do: get("/api/info"), want: "200"},
	}}},
	"old-app-versions": {{on: behindProxy, steps: []step{
		{do: get("/config", "User-Agent", "shop/4.1.7").show("body"), want: `200 {"features":true}`},
		{do: get("/config", "User-Agent", "shop/4.0").show("body"), want: `200 {"features":true}`},
		{do: get("/config", "User-Agent", "shop/4.2.0").show("size"), want: "200 4096"},
		{do: get("/config", "User-Agent", "shop/4.1.7", "Cookie", "tester=yes").show("size"), want: "200 4096"},
	}}},
	"same-five-percent": {
		{steps: []step{{do: unlucky{200}, want: theSame}, {do: unlucky{200}, want: theSame}}},
		{env: []string{"PODINFO_INSTANCE=another", "PODINFO_SEED=2"}, steps: []step{{do: unlucky{200}, want: theSame}}},
	},
}

// theSame are the users whom same-five-percent hits, on each server.
const theSame = "6 16 31 52 54 96 100 103 129 of 200 fail"
