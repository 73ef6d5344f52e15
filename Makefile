# make test is the one test command. What it needs: Go, and Docker for the tests in integration/, which say so where they skip it.
GO ?= go

.PHONY: test integration kills failover drain crowd election freezes check bench crash stress sim fuzz todo cluster cluster-down

# Tests that count bytes and allocations, which the race detector distorts, and the simulation, whose runs it makes differ; then all tests, under it.
test:
	$(GO) test -run 'Alloc|Bytes' ./object ./persist ./transport
	$(GO) test -timeout 10m ./internal/sim
	$(GO) test -race -timeout 15m ./...
	@$(MAKE) --no-print-directory integration

# Tests on real ZooKeeper and S3 servers: containers, or those that HIGHLANDER_TEST_ZOOKEEPER and HIGHLANDER_TEST_S3 name.
# Without a package named, go test prints what was skipped.
integration:
	cd integration && $(GO) test -race -timeout 5m ./faults && $(GO) test -race -timeout 15m

# Measurements on real servers, without the race detector; docs/scale.md and docs/reliability.md have figures.
# kills: kill -9 of the busiest node, six times in DURATION, then rolling restarts for DURATION.
# failover: how long objects are gone when their owner is killed, COUNT times over, killed and started again, frozen, or cut off. make failover COUNT=50
# freezes, as root: for DURATION packets between nodes are lost, by rules of iptables for their ports alone, and each node in turn freezes.
# drain, crowd, election: a node with COUNT objects drains; is killed; ZooKeeper elects a leader while nodes own COUNT objects. make crowd COUNT=60000
measure = cd integration && HIGHLANDER_DURATION=$(DURATION) HIGHLANDER_COUNT=$(COUNT) $(GO) test -timeout 0 -count 1 -v -run
kills:
	$(measure) 'TestKilledOwners|TestRollingRestart'
failover:
	$(measure) TestFailover
freezes:
	$(measure) TestLossAndFreezes
drain:
	$(measure) TestManyObjectsDrain
crowd:
	$(measure) TestManyObjectsOfAKilledNode
election:
	$(measure) TestElection

# What CI checks besides: formatting, vet, staticcheck.
check:
	@test -z "$$(gofmt -l .)" || { echo "not formatted by gofmt:"; gofmt -l .; exit 1; }
	for module in . integration; do (cd $$module && $(GO) vet ./... && $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...) || exit 1; done

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

# SEEDS runs of the simulation, 250 to a process, on all processors.
SEEDS ?= 5000
SIM := $(or $(TMPDIR),/tmp)/highlander-sim.test
sim:
	$(GO) test -c -o $(SIM) ./internal/sim
	cd internal/sim && seq 1 250 $(SEEDS) | xargs -P $$(nproc) -I FIRST $(SIM) -test.run '^TestSeeds$$' -test.timeout 0 -seed FIRST -seeds 250

# Each fuzz test for FUZZTIME.
FUZZTIME ?= 30s
fuzz:
	for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
		$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

todo:
	$(GO) run ./examples/todo

# Three nodes of the example, three ZooKeeper servers and an S3 server, in containers. See integration/docker-compose.yml.
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose) -f integration/docker-compose.yml -p highlander
cluster:
	integration/s3/build
	CGO_ENABLED=0 GOOS=linux $(GO) build -o integration/todo/todo ./examples/todo
	$(COMPOSE) up --build --detach
	integration/todo/ready http://127.0.0.1:8081 http://127.0.0.1:8082 http://127.0.0.1:8083

cluster-down:
	$(COMPOSE) down --volumes --remove-orphans
