package scenarios_test

import "time"

// runs are the tests of all scenarios, by name.
var runs = merge(failures, overload, responses, audiences, connections, protocols)

func merge(parts ...map[string][]run) map[string][]run {
	all := map[string][]run{}
	for _, part := range parts {
		for name, r := range part {
			all[name] = r
		}
	}
	return all
}

// failures are scenarios of requests that fail or are late.
var failures = map[string][]run{
	"brown-out": {{steps: []step{
		{do: get("/").pooled(), times: 50, counts: counts{"200": {43, 50}, "503": {0, 7}}, took: took{0, 100 * time.Millisecond}},
		{wait: time.Hour, do: get("/").pooled(), times: 500, counts: counts{"200": {462, 487}, "503": {13, 38}}, took: took{250 * time.Millisecond, 600 * time.Millisecond}},
	}}},
	"cold-start": {{steps: []step{
		{do: get("/readyz"), want: "503"},
		{do: get("/"), want: "200", took: took{200 * time.Millisecond, 800 * time.Millisecond}},
		{wait: 20 * time.Second, do: get("/readyz"), want: "200"},
		{wait: 2 * time.Minute, do: get("/"), want: "200", took: atOnce},
	}}},
	"flaky-dependency": {{steps: []step{
		{do: get("/api/info"), times: 20, counts: counts{"200": {4, 16}, "502": {4, 16}, "reset": {0, 3}}},
		{wait: 20 * time.Second, do: get("/api/info"), times: 100, counts: counts{"200": {90, 100}, "reset": {0, 6}, "504": {0, 4}}},
		{do: get("/"), times: 20, want: "20×200"},
	}}},
	"slow-database": {{on: behindProxy, steps: []step{
		{do: get("/cache/x").pooled(), times: 400, want: "400×200", took: took{10 * time.Millisecond, 40 * time.Millisecond}},              // the mean is 29 ms
		{do: send("PUT", "/cache/x", "").pooled(), times: 400, want: "400×200", took: took{40 * time.Millisecond, 170 * time.Millisecond}}, // 100 ms
		{do: get("/store/x").pooled(), times: 400, want: "400×200", took: took{40 * time.Millisecond, 90 * time.Millisecond}},              // 68 ms
		{do: get("/other"), times: 10, want: "10×200", took: atOnce},
	}}},
	"partial-outage": {
		{env: []string{"PODINFO_INSTANCE=podinfo-0"}, steps: []step{
			{do: get("/").pooled(), times: 200, counts: counts{"200": {82, 118}, "500": {82, 118}}},
			{do: get("/readyz"), want: "200"},
		}},
		{env: []string{"PODINFO_INSTANCE=podinfo-1"}, steps: []step{{do: get("/").pooled(), times: 200, want: "200×200"}}},
	},
	"zone-outage": {
		{env: []string{"PODINFO_FAULTS_ZONE=eu-west-1a"}, steps: []step{
			{do: get("/").pooled().within(time.Minute), times: 300, counts: counts{"200": {273, 294}, "timeout": {6, 27}}},
			{do: get("/").pooled().within(time.Second), times: 300, counts: counts{"200": {170, 250}, "timeout": {50, 130}}}, // 29 % are slower than a second
			{do: get("/readyz"), want: "200"},
		}},
		{env: []string{"PODINFO_FAULTS_ZONE=eu-west-1b"}, steps: []step{{do: get("/").pooled(), times: 100, want: "100×200", took: atOnce}}},
	},
	"bad-release": {
		{env: []string{"PODINFO_FAULTS_LABELS=track=canary"}, steps: []step{
			{do: get("/").pooled(), times: 100, want: "100×200"},
			{wait: 15 * time.Minute, do: get("/").pooled(), times: 200, counts: counts{"200": {123, 157}, "500": {43, 77}}},
			{wait: time.Hour, do: get("/").pooled(), times: 200, counts: counts{"200": {62, 98}, "500": {102, 138}}},
			{do: get("/readyz"), want: "200"},
		}},
		{env: []string{"PODINFO_FAULTS_LABELS=track=stable"}, steps: []step{{wait: time.Hour, do: get("/").pooled(), times: 200, want: "200×200"}}},
	},
	"error-bursts": {{steps: []step{
		{do: get("/").pooled(), times: 1000, counts: counts{"200": {880, 990}, "503": {10, 120}}},
		{do: bursts{get("/").pooled(), 1000}, counts: counts{"short": {1, 15}, "long": {1, 15}}},
	}}},
	"login-outage": {{steps: []step{
		{do: send("POST", "/token", "").pooled().show("Retry-After"), times: 100, counts: counts{"200 ": {9, 31}, "503 10": {69, 91}}},
		{do: get("/token/validate").pooled(), times: 50, want: "50×401", took: took{1700 * time.Millisecond, 2300 * time.Millisecond}},
		{do: get("/"), times: 10, want: "10×200", took: atOnce},
	}}},
	"game-day": {{steps: []step{
		{do: get("/").pooled().show("X-Exercise"), times: 200, counts: counts{"200 ": {168, 192}, "503 game-day": {8, 32}}, took: took{80 * time.Millisecond, 320 * time.Millisecond}},
		{do: get("/", "X-Synthetic", "check").pooled(), times: 100, want: "100×200", took: atOnce},
		{wait: 30 * time.Minute, do: get("/").pooled(), times: 100, want: "100×200", took: atOnce},
	}}},
	"maintenance": {{steps: []step{ // a bubble begins at midnight UTC
		{do: get("/api/info", "X-User", "beta"), times: 8, want: "500, 2×200, 2×500, 2×200, 500"},
		{wait: 15 * time.Minute, do: get("/api/info", "X-User", "beta"), want: "200"},
		{do: send("POST", "/echo", "x"), want: "202"},
		{wait: 2 * time.Hour, do: send("POST", "/echo", "x").show("Retry-After"), want: "503 1800"},
		{do: get("/"), want: "200"},
		{wait: 15 * time.Minute, do: send("POST", "/echo", "x"), want: "202"},
	}}},
	"nightly-batch": {{steps: []step{ // which is a Saturday
		{do: get("/"), times: 20, together: true, want: "20×200", took: atOnce},
		{wait: 49*time.Hour + 30*time.Minute, do: get("/"), times: 20, together: true, want: "5×200, 15×503"}, // Monday, 02:30 in Berlin
		{do: get("/").pooled(), times: 100, want: "100×200", took: took{600 * time.Millisecond, 1500 * time.Millisecond}},
		{wait: 20 * time.Minute, do: get("/"), times: 20, together: true, want: "20×200", took: atOnce},
	}}},
	"duplicate-payment": {{on: behindProxy, steps: []step{
		{do: send("POST", "/payments", "", "Idempotency-Key", "a"), times: 2, want: "reset, 200"},
		{do: get("/payments").show("body"), want: "200 1 booked"},
		{do: send("POST", "/payments", "", "Idempotency-Key", "b"), want: "reset"},
		{do: send("POST", "/payments", "", "Idempotency-Key", "c"), want: "reset"},
		{do: get("/payments").show("body"), want: "200 3 booked"},
	}}},
	"query-of-death": {{on: behindProxy, steps: []step{
		{do: send("POST", "/orders", `{"items":[{"sku":"a"},{"sku":"NULL-7"}]}`), times: 3, want: "3×no response"},
		{do: send("POST", "/orders", `{"items":[{"sku":"a"},{"sku":"null"}]}`), want: "200"},
		{do: get("/orders"), want: "200"},
	}}},
}
