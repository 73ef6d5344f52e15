# make test is the one test command. What it needs: Go, and Docker for the tests in integration/, which say so where they skip it.
GO ?= go

.PHONY: test integration kills lists failover drain crowd election freezes upgrade torture check bench crash stress sim codegen fuzz todo cluster cluster-down

# Tests that count bytes and allocations, which the race detector distorts; the model and others of one long sequence, and what compiles, which it makes many
# times slower; the simulation, whose runs it makes differ; then all the rest, under it.
compilers = /cmd/objgen /codegen
test:
	$(GO) test -run 'Alloc|Bytes|Model|ManyCallers|OneCaller|TooManyRequestIDs' ./object ./persist ./transport ./internal/sample
	$(GO) test -timeout 30m -skip '^TestSeeds$$' ./internal/sim
	@$(MAKE) --no-print-directory sim SEEDS=2000
	$(GO) test -timeout 15m $(compilers:%=.%)
	$(GO) test -race -p 3 -timeout 15m $$($(GO) list ./... | grep -v $(compilers:%=-e '%$$'))
	@$(MAKE) --no-print-directory integration

# Tests on real ZooKeeper and S3 servers: containers, or those that HIGHLANDER_TEST_ZOOKEEPER and HIGHLANDER_TEST_S3 name.
# Without a package named, go test prints what was skipped.
integration:
	cd integration && $(GO) test -race -timeout 5m ./faults && $(GO) test -race -timeout 15m

# Measurements on real servers, without the race detector; docs/scale.md and docs/reliability.md have figures.
# kills: kill -9 of the busiest node, six times in DURATION, then rolling restarts for DURATION.
# lists: a node is killed while it makes a list for a user, COUNT times over; the request is made again elsewhere. make lists COUNT=500
# failover: how long objects are gone when their owner is killed, COUNT times over, killed and started again, frozen, or cut off. make failover COUNT=50
# freezes, as root: for DURATION packets between nodes are lost, by rules of iptables for their ports alone, and each node in turn freezes.
# upgrade: the nodes of an application change version one after the other and back, COUNT times over, under load. make upgrade COUNT=10
# torture, as root: the fault FAULT, until it has happened COUNT times and DURATION is over, or mix: many kinds at the same time. The result goes into docs/reliability.md,
# which also says which faults there are. make torture FAULT=kill COUNT=300, make torture FAULT=mix DURATION=1h
# drain, crowd, election: a node with COUNT objects drains; is killed; ZooKeeper elects a leader while nodes own COUNT objects. make crowd COUNT=60000
measure = cd integration && HIGHLANDER_DURATION=$(DURATION) HIGHLANDER_COUNT=$(COUNT) $(GO) test -timeout 0 -count 1 -v -run
kills:
	$(measure) 'TestKilledOwners|TestRollingRestart'
lists:
	$(measure) TestListsAreMadeOnce
failover:
	$(measure) TestFailover
freezes:
	$(measure) TestLossAndFreezes
upgrade:
	$(measure) TestRollingUpgradeAndRollback
torture: export HIGHLANDER_RECORD = 1
torture: export HIGHLANDER_FAULT = $(FAULT)
torture:
	$(measure) 'TestTorture$$'
drain:
	$(measure) TestManyObjectsDrain
crowd:
	$(measure) TestManyObjectsOfAKilledNode
election:
	$(measure) TestElection

# What CI checks besides: formatting, generated files, vet, staticcheck.
check:
	@test -z "$$(gofmt -l .)" || { echo "not formatted by gofmt:"; gofmt -l .; exit 1; }
	$(GO) tool objgen -check ./examples/... ./internal/... ./internal/upgradetest/...
	for module in . integration; do (cd $$module && $(GO) vet ./... && $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...) || exit 1; done

# The figures of docs/benchmarks.md.
bench:
	$(GO) test -run '^$$' -bench . -benchtime 2s -count 5 ./object ./persist ./memregistry ./transport ./internal/sample

# kill -9 of the example under 32 writing clients, COUNT times over.
COUNT ?= 200
crash:
	TODO_KILL_ROUNDS=$(COUNT) $(GO) test -race -timeout 60m -count 1 -v -run Kill ./examples/todo

# Nodes, clients and faults, for DURATION under each hardship; as many at a time as there are processors.
DURATION ?= 2m
stress:
	HIGHLANDER_STRESS=$(DURATION) $(GO) test -race -timeout 0 -count 1 -v -run Stress ./object

# SEEDS runs of the simulation, 1,000 to a process, on all processors. make sim SEEDS=100000
SEEDS ?= 5000
SIM := $(or $(TMPDIR),/tmp)/highlander-sim.test
sim:
	$(GO) test -c -o $(SIM) ./internal/sim
	cd internal/sim && seq 1 1000 $(SEEDS) | xargs -P $$(nproc) -I FIRST $(SIM) -test.run '^TestSeeds$$' -test.timeout 0 -seed FIRST -seeds 1000

# What is generated for a thousand random types, SEEDS times over. make codegen SEEDS=20
codegen: SEEDS = 20
codegen:
	$(GO) test -timeout 0 -count 1 -v -run TestRandomTypes ./codegen -seeds $(SEEDS)

# The longer models, each explored completely, one after the other. The largest takes some gigabytes.
model:
	HIGHLANDER_MODEL=long $(GO) test -timeout 0 -count 1 -parallel 1 -v -run 'Models' ./object

# Each fuzz test for FUZZTIME. Inputs are hardly minimized: for large ones that takes most of the time.
FUZZTIME ?= 30s
fuzz:
	for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
		$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p || exit 1; done; done

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
