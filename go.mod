module github.com/seed-4591fe7d/podinfo

go 1.26.0

require (
	github.com/caarlos0/env/v11 v11.4.2
	github.com/google/go-cmp v0.7.0
	github.com/julienschmidt/httprouter v1.3.0
	github.com/sirupsen/logrus v1.10.2
	github.com/spf13/pflag v1.1.0
	github.com/urfave/negroni/v3 v3.1.2
	go.yaml.in/yaml/v3 v3.0.5
	golang.org/x/term v0.47.0
)

require golang.org/x/sys v0.49.0 // indirect
