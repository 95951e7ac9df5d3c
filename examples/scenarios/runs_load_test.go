package scenarios_test

import "time"

// overload are scenarios of limits.
var overload = map[string][]run{
	"thundering-herd": {{steps: []step{
		{do: get("/").show("Retry-After"), times: 50, together: true, want: "20×200 , 30×503 1"},
		{do: get("/"), want: "200", took: exactly(500 * time.Millisecond)},
	}}},
	"recovery-herd": {{steps: []step{
		{do: get("/"), times: 10, want: "10×no response"},
		{do: call{method: echo}, want: "Unavailable"},
		{wait: 30 * time.Second, do: get("/"), times: 100, together: true, want: "20×200, 80×503"},
		{wait: time.Second, do: get("/"), times: 100, together: true, want: "20×200, 80×503"},
		{wait: 2 * time.Minute, do: get("/"), times: 100, together: true, want: "100×200"},
	}}},
	"queueing": {{steps: []step{
		{do: get("/"), want: "200", took: exactly(200 * time.Millisecond)},
		{do: get("/"), times: 4, together: true, want: "4×200", took: exactly(200 * time.Millisecond)},
		{do: get("/"), times: 20, together: true, want: "20×200", took: exactly(600 * time.Millisecond)}, // five rounds of four
		{do: get("/"), times: 40, together: true, want: "40×200", took: exactly(1100 * time.Millisecond)},
		{do: get("/"), times: 100, together: true, counts: counts{"200": {40, 44}, "503": {56, 60}}}, // the wait ends in the eleventh round
	}}},
	"cache-stampede": {{on: behindProxy, steps: []step{
		{do: get("/items/1"), times: 50, together: true, want: "10×200, 40×503"},
		{do: get("/items/1"), want: "200", took: exactly(time.Second)},
		{wait: 2 * time.Second, do: get("/items/1"), times: 50, together: true, want: "50×200", took: atOnce},
		{wait: 57 * time.Second, do: get("/items/1"), times: 50, together: true, want: "10×200, 40×503"},
	}}},
	"rate-limiting": {{steps: []step{
		{do: get("/api/info", "X-Api-Key", "a"), times: 15, want: "10×200, 5×429"},
		{do: get("/api/info", "X-Api-Key", "b"), times: 15, want: "10×200, 5×429"},
		{do: get("/api/info", "X-Api-Key", "b").show("Retry-After"), want: "429 1"},
		{wait: time.Second, do: get("/api/info", "X-Api-Key", "b"), times: 10, want: "5×200, 5×429"},
		{do: get("/api/info"), times: 15, want: "200, 14×429"},
		{do: get("/"), times: 15, want: "15×200"},
	}}},
	"retry-after-date": {{steps: []step{
		{do: get("/api/info", "X-Api-Key", "a"), times: 5, want: "5×200"},
		{do: get("/api/info", "X-Api-Key", "a").show("Retry-After"), want: "429 Sat, 01 Jan 2000 00:00:01 GMT"},
		{do: get("/api/info", "X-Api-Key", "b"), want: "200"},
		{wait: time.Second, do: get("/api/info", "X-Api-Key", "a"), times: 2, want: "200, 429"},
	}}},
	"quota": {{steps: []step{
		{do: call{method: echo}, want: "Unauthenticated API_KEY_MISSING"},
		{do: call{method: echo, metadata: []string{"x-api-key", "a"}}, times: 7, want: "5×OK, 2×ResourceExhausted retry in 500ms RATE_LIMIT_EXCEEDED"},
		{do: call{method: echo, metadata: []string{"x-api-key", "b"}}, times: 5, want: "5×OK"},
		{wait: 500 * time.Millisecond, do: call{method: echo, metadata: []string{"x-api-key", "a"}}, want: "OK"},
	}}},
	"retries": {{steps: []step{
		{do: get("/echo", "X-Request-Id", "a"), times: 3, want: "2×503, 202"},
		{do: get("/echo", "X-Request-Id", "b").show("Retry-After"), times: 3, want: "2×503 1, 202 "},
	}}},
	"fleet-retries": {{on: fleet, loopback: true, steps: []step{
		{do: balanced{get("/echo", "X-Request-Id", "a")}, times: 2, want: "2×503, 2×202"},
		{do: balanced{get("/echo", "X-Request-Id", "b").show("Retry-After")}, times: 2, want: "2×503 1, 2×202 "},
	}}},
	"pool-exhaustion": {{on: behindProxy, steps: []step{
		{do: get("/api/x").within(time.Second), times: 200, counts: counts{"200": {168, 192}, "timeout": {8, 32}}},
		{do: pool{get("/api/x"), 10}, want: "pool used up"},
		{do: get("/"), times: 10, want: "10×200"},
	}}},
}

// echo is a method of podinfo's own.
const echo = "/echo.EchoService/Echo"
