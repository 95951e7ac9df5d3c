.PHONY: test proto deps unit survival kubectl-podinfo plugin examples documents clients toxiproxy packaging rehearse browser image image-test image-run lint bench bench-test drain fuzz readme site man

GO    ?= go
TOOLS := -modfile=hack/tools/go.mod
SCRIPTS := .ci/run hack/deps hack/fuzz hack/man hack/publish hack/rehearse hack/release $(filter-out hack/cluster/node,$(wildcard hack/cluster/*)) hack/e2e/run $(wildcard hack/e2e/*.sh hack/e2e/parts/*)

test: deps unit survival ## run all tests, on a bare Debian machine too
	@$(MAKE) --jobs=2 --output-sync=target plugin examples documents clients toxiproxy packaging bench-test browser

deps: ## install the servers and the browser that the tests need
	hack/deps

unit:
	$(GO) test -race -timeout 10m ./...

survival: ## run podinfo in 64 MiB of memory against clients that would use it up, where control groups can be made
	SURVIVAL=true $(GO) test -count=1 -timeout 5m ./internal/survival

kubectl-podinfo: ## build the plugin of kubectl as dist/kubectl-podinfo
	$(GO) -C cmd/kubectl-podinfo build -trimpath -o ../../dist/kubectl-podinfo .

plugin: ## test the plugin of kubectl, with podinfo processes as pods
	$(GO) -C cmd/kubectl-podinfo vet ./... && $(GO) -C cmd/kubectl-podinfo test -race -count=1 ./...

examples: ## test the examples that are separate modules
	for dir in $$(find examples -name go.mod -exec dirname {} \;); do \
		(cd $$dir && $(GO) vet ./... && $(GO) build -o /dev/null . && $(GO) test -race ./...) || exit 1; \
	done

documents: ## validate the OpenAPI documents and the schema of scenarios with other implementations, and run the commands of the Markdown pages
	@# -count=1: the test cache does not notice changes of the pages.
	$(GO) -C hack/documents vet ./... && $(GO) -C hack/documents test -count=1 ./...

clients: ## generate a Go and a TypeScript client from /openapi.json and use them
	$(GO) -C hack/clients vet ./... && $(GO) -C hack/clients test -count=1 ./...

toxiproxy: ## test toxiproxy's API with its own client and command line; TOXIPROXY_FLAGS="-run ^$$ -bench ." measures beside it
	$(GO) -C hack/toxiproxy vet ./... && $(GO) -C hack/toxiproxy test -count=1 ./... $(TOXIPROXY_FLAGS)

packaging: ## check what is applied to a cluster (kustomize, chart, Timoni module), the scripts and the workflows; PACKAGING_FLAGS=-update writes the golden files
	shellcheck -x $(SCRIPTS)
	$(GO) tool -modfile=hack/tools/actionlint/go.mod actionlint
	@# -count=1: the tests build podinfo, which the test cache does not notice.
	$(GO) -C hack/packaging vet ./... && $(GO) -C hack/packaging test -count=1 ./... $(PACKAGING_FLAGS)

browser: ## test the page in a real Chromium; BROWSER_FLAGS=-update also takes the screenshots of README.md
	$(GO) -C hack/browser vet ./... && $(GO) -C hack/browser test -count=1 -parallel 4 ./... $(BROWSER_FLAGS)

rehearse: ## publish, sign and verify a release on this machine, with hack/rehearse
	hack/rehearse

image: ## build the container image without Docker: an OCI layout in dist/image, and dist/podinfo.tar for containerd, kind and k3s
	@$(GO) -C hack/image run . $(IMAGE_FLAGS)

image-test: ## build the image twice and inspect it
	$(GO) -C hack/image test -count=1 .

image-run: ## run the image under the restrictions of a strict cluster (needs root and runc)
	$(GO) -C hack/image test -tags container -count=1 -run TestContainer -exec "$(if $(filter 0,$(shell id -u)),env,sudo -E env PATH=$$PATH)" .

lint:
	@unformatted=$$(gofmt -l $$(git ls-files "*.go")); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool $(TOOLS) staticcheck ./...

proto: ## generate the Go code of the .proto files
	$(GO) -C hack/tools run ./genproto

readme: ## write the generated parts of README.md
	$(GO) test -run TestReadme -update .

bench: ## measure podinfo beside bare net/http and grpc-go, and run all Go benchmarks; BENCH_FLAGS=-write instead updates docs/performance.md in 10 minutes, "-base REV" compares with a revision, -scale measures growth
	$(GO) -C hack/bench run -trimpath . $(BENCH_FLAGS)
	$(if $(BENCH_FLAGS),,$(GO) test -run "^$$" -bench . -benchmem . ./endpoints/wsecho ./endpoints/grpcserver ./middleware/tracing ./middleware/faults ./registry/fault/scenario)

bench-test: ## test the benchmark of podinfo itself, with a little of everything it measures
	$(GO) -C hack/bench vet ./... && $(GO) -C hack/bench test -count=1 ./...

drain: ## count the connections lost at shutdown, with and without accepting the backlog (docs/shutdown.md)
	$(GO) -C hack/drain vet ./... && $(GO) -C hack/drain run .

fuzz: ## run each fuzz target for FUZZTIME
	hack/fuzz $(or $(FUZZTIME),1m)

site: ## build the documentation as a site in dist/site, without a network
	PYTHONPATH=hack/site PYTHONDONTWRITEBYTECODE=1 mkdocs build --quiet --config-file hack/site/mkdocs.yml

man: ## write the manual pages to dist/man
	hack/man
