module github.com/seed-4591fe7d/podinfo/hack/drain

go 1.26.0
