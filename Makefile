# make test is the one test command. What it needs: Go.
GO ?= go

.PHONY: test check bench crash stress fuzz todo

# Tests that count bytes and allocations, which the race detector distorts; then all tests, under it.
test:
	$(GO) test -run 'Alloc|Bytes' ./object ./persist ./transport
	$(GO) test -race -timeout 15m ./...

# What CI checks besides: formatting, vet, staticcheck.
check:
	@test -z "$$(gofmt -l .)" || { echo "not formatted by gofmt:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# The figures of docs/benchmarks.md.
bench:
	$(GO) test -run '^$$' -bench . -benchtime 2s -count 5 ./object ./persist ./memregistry ./transport

# kill -9 of the example under 32 writing clients, COUNT times over.
COUNT ?= 200
crash:
	TODO_KILL_ROUNDS=$(COUNT) $(GO) test -race -timeout 60m -count 1 -v -run Kill ./examples/todo

# Nodes, clients and faults, for DURATION under each hardship; as many at a time as there are processors.
DURATION ?= 2m
stress:
	HIGHLANDER_STRESS=$(DURATION) $(GO) test -race -timeout 0 -count 1 -v -run Stress ./object

# Each fuzz test for FUZZTIME.
FUZZTIME ?= 30s
fuzz:
	for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
		$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

todo:
	$(GO) run ./examples/todo
