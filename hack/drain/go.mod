module github.com/seed-4591fe7d/podinfo/hack/drain

go 1.26.0

require (
	github.com/gobwas/ws v1.5.0
	github.com/seed-4591fe7d/podinfo v0.0.0
	google.golang.org/grpc v1.85.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260928230214-8a89bd6388cc // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/seed-4591fe7d/podinfo => ../..
