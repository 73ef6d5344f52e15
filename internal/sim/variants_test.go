package sim_test

var variants = []variant{
	{"no lease check before a read's answer", []edit{{"object/table.go",
		"snap == nil || !a.serving.lease.Valid()", "snap == nil"}}, "pauses", 120},
	{"no lease check before a write's answer", []edit{{"object/commit.go",
		"lease := a.serving.lease; !lease.Valid() && ", "lease := a.serving.lease; false && "}}, "cut off", 500},
	{"no takeover wait", []edit{{"zkregistry/claim.go", "c.serveAt = object.ServeAt(lost)", "_ = lost"}}, "cut off", 60},
	{"constant write id", []edit{{"object/commit.go", `	binary.LittleEndian.PutUint64(r.WriteID[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(r.WriteID[8:], rand.Uint64())
`, `	_, _ = rand.Uint64, binary.LittleEndian
`}}, "bad store", 400},
	{"answer before the put", []edit{{"object/commit.go", `	if w.dirty {
		a.put(w)`, `	if w.dirty {
		for _, o := range w.batch {
			o.answer(o.err)
		}
		w.batch = nil
		a.put(w)`}}, "crashes", 20},
	{"error answered before the put that it saw", []edit{{"object/work.go", `	w.ran = append(w.ran, o)
}
`, `	if o.err != nil {
		o.answer(o.err)
		return
	}
	w.ran = append(w.ran, o)
}
`}}, "crashes", 60},
	{"412 taken as failure", []edit{{"object/rules.go", `	case r == putCondition:
		return stepLook`, `	case r == putCondition:
		return stepRefuse`}}, "bad store", 100},
	{"load before the wait", []edit{
		{"object/activation.go", `	if err := sleepUntil(ctx, a.serving.lease.Clock(), claim.ServeAt()); err != nil {
		return nil, unavailable(key, fmt.Errorf("it waited for a lost owner's lease to be over: %w", err))
	}
`, ""},
		{"object/activation.go", `	return a.prepare(ctx, record, tag)
}

// A loaded`, `	if err := sleepUntil(ctx, a.serving.lease.Clock(), claim.ServeAt()); err != nil {
		return nil, unavailable(key, err)
	}
	return a.prepare(ctx, record, tag)
}

// A loaded`}}, "cut off", 300},
	{"live listed before members, unguarded deletion", []edit{
		{"zkregistry/connection.go", `	members, err := c.watch(ctx, c.paths.members(), &c.membersWatched)
	if err != nil {
		return nil, err
	}
	live, err := c.watch(ctx, c.paths.live(), &c.liveWatched)
`, `	live, err := c.watch(ctx, c.paths.live(), &c.liveWatched)
	if err != nil {
		return nil, err
	}
	members, err := c.watch(ctx, c.paths.members(), &c.membersWatched)
`},
		{"zkregistry/lost.go", `			zk.CreateOp(r.paths.liveOf(pair), nil, zk.Ephemeral),
			zk.DeleteOp(r.paths.liveOf(pair), zk.AnyVersion),
`, ""}}, "cut off", 300},
	{"lost member deleted at once", []edit{{"zkregistry/lost.go",
		"return object.ServeAt([]object.LostMember{l}) + time.Duration(min(rank, 10))*r.lease, ok", "return 0 * l.Seen, ok"}}, "cut off", 60},
	{"takeover wait from one's own lease length", []edit{{"zkregistry/lost.go", "Lease: m.lease}", "Lease: r.lease + 0*m.lease}"}}, "cut off", 80},
	{"connection reused after expiry", []edit{{"zkregistry/session.go", `			s.lease.End(errors.New("ZooKeeper has ended the session"))
`, `			if again, err := s.registry.ensemble.Open(s.life, s.registry.timeout, s.connection.event); err == nil {
				s.connection.Session = again
				_, _ = again.Create(s.life, s.paths.liveOf(s.pair), nil, zk.Ephemeral)
			}
`}}, "pauses", 40},
	{"eviction without the version", []edit{{"zkregistry/evict.go",
		"r.deletePair(ctx, c, pair, versions[pair])", "r.deletePair(ctx, c, pair, zk.AnyVersion)"}}, "cuts", 60},
	{"eviction before the takeover wait", []edit{{"zkregistry/evict.go", "until := last.at + wait", "until := last.at + 0*wait"}}, "cuts", 60},
	{"live read before the container", []edit{
		{"zkregistry/connection.go", "	last   *presence\n", "	last   *presence\n	early  *presence\n"},
		{"zkregistry/claim.go", "	if err := s.contend(ctx, c); err != nil {\n", "	s.early, _ = s.presence(ctx)\n	if err := s.contend(ctx, c); err != nil {\n"},
		{"zkregistry/registry.go", "	p, err := c.presence(ctx) // after the claim was seen: a pair is made before its claims\n",
			"	p, err := c.early, error(nil)\n	if p == nil {\n		p, err = c.presence(ctx)\n	}\n"}}, "moves", 2000},
	{"restart proof taken from a living process", []edit{{"zkregistry/proof_linux.go",
		"unix.LOCK_EX|unix.LOCK_NB); err != nil {", "unix.LOCK_EX|unix.LOCK_NB); err != nil && err != unix.EWOULDBLOCK {"}}, "restarts", 60},
	{"lease checked before the state is sampled", []edit{{"object/table.go", `	snap := a.committed.Load()
	if snap == nil || !a.serving.lease.Valid() {`, `	valid := a.serving.lease.Valid()
	snap := a.committed.Load()
	if snap == nil || !valid {`}}, "readers", 900},
	{"lease counted from the acknowledgement", []edit{{"zkregistry/session.go", `	s.lease.Renewed(sent)
	s.took`, `	s.lease.Renewed(s.registry.clock())
	s.took`}}, "pauses", 800},
	{"lease renewed by what a follower says", []edit{{"zkregistry/session.go",
		"err := s.Set(ctx, s.paths.liveOf(s.pair), encodeLive(object.StoreState(s.store.Load())), zk.AnyVersion)", "_, _, err := s.Get(ctx, s.paths.liveOf(s.pair))"}}, "pauses", 200},
	{"state still readable after release", []edit{{"object/activation.go",
		"	a.committed.Store(nil)\n", ""}}, "moves", 600},
	{"update that fails or panics keeps what it has changed", []edit{
		{"object/call.go", `	s := *base.(*S)
	if c.clone != nil {
		s = c.clone(s)
	}
	var err error
	c.result, err = c.method.Run(ctx, &s, c.method.Args.copy(c.arg))
	return &s, err`, `	s := base.(*S)
	var err error
	c.result, err = c.method.Run(ctx, s, c.method.Args.copy(c.arg))
	return s, err`}}, "groups", 20},
	{"conditional put does not wait for those before it", []edit{{"object/work.go",
		"(!w.queue[w.head].mode.Conditional || !w.putting && len(w.ran) == 0)", "true"}}, "groups", 60},
	{"updates do not run again on an adopted record", []edit{{"object/commit.go", `"version", a.version)
		a.rewind(w)`, `"version", a.version)`}}, "bad store", 800},
	{"update that runs on a void state counts", []edit{{"object/work.go", "w.redo = w.running != nil", "w.redo = false"}}, "groups", 400},
	{"update under way runs again elsewhere", []edit{{"object/activation.go", "o.answer(unknown(a.key(), cause))", "o.answer(errMoved)"}}, "mixed", 200},
	{"release that does not wait", []edit{{"object/activation.go", `	case <-change.idle:
	case <-timer.C:
	case <-ctx.Done():
	}
	if onlyIdle {`, `	case <-change.idle:
	default:
	}
	if onlyIdle {`}}, "moves", 40},
	{"release acknowledges what it cuts short", []edit{
		{"object/activation.go", `	case <-change.idle:
	case <-timer.C:
	case <-ctx.Done():
	}
	if onlyIdle {`, `	case <-change.idle:
	default:
	}
	if onlyIdle {`},
		{"object/activation.go", "o.answer(unknown(a.key(), cause))", "o.answer(nil)"}}, "leaving", 200},
	{"tombstone purged with the results that it keeps", []edit{
		{"object/sweep.go", "return a.version > 0 && !a.exists &&", "return h == nil &&"}}, "leaving", 40},
	{"node that has just joined does not wait for those lost before", []edit{
		{"zkregistry/registry.go", "	listed  chan struct{}  // closed", "	looked  bool\n	listed  chan struct{}  // closed"},
		{"zkregistry/lost.go", "	r.forget(p)\n", "	r.forget(p)\n	r.looked = true\n"},
		{"zkregistry/lost.go", `			now := r.clock()
			r.mu.Lock()`, `			now := r.clock()
			if !r.looked {
				now -= time.Hour
			}
			r.mu.Lock()`}}, "joins", 200},
	{"StopOnDisconnect does not stop", []edit{{"zkregistry/session.go", "e.Type == zk.Disconnected && s.registry.stopOnDisconnect",
		"e.Type == zk.Disconnected && s.registry.stopOnDisconnect && s.lease == nil"}}, "disconnects", 40},
	{"takeover wait is much too long", []edit{{"object/rules.go", "m.Seen+TakeoverWait(m.Lease)", "m.Seen+20*TakeoverWait(m.Lease)"}}, "crashes", 40},
	{"lost member is never removed", []edit{{"zkregistry/lost.go", "err := r.deleteLost(ctx, c, pair); err != nil {\n				return",
		"err := error(nil); err != nil {\n				return"}}, "crashes", 20},
	{"claim that has lost stays", []edit{{"zkregistry/claim.go", `		if s.remove(ctx, c) != nil {
			s.leave(c)
		}
		return nil, elsewhere`, "		return nil, elsewhere"}}, "mixed", 60},
	{"containers are watched", []edit{{"zkregistry/claim.go", "c.Children(ctx, c.paths.container(key), false)", "c.Children(ctx, c.paths.container(key), true)"}}, "cuts", 20},
	{"session is not closed when it retires", []edit{{"zkregistry/session.go", "			err = s.Session.Close(ctx)\n", "			_ = ctx\n"}}, "moves", 20},
	{"goroutine that stays as long as the session", []edit{{"object/activation.go", "	if err := a.claim.Release(ctx); err",
		"	go func() { <-a.serving.lease.Done() }()\n	if err := a.claim.Release(ctx); err"}}, "leaving", 40},
	{"update sent again without its id", []edit{{"object/route.go", "	w.r.Again = true\n", "	w.r.Again = true\n	w.r.ID.Number += 1 << 40\n"},
		{"object/remote.go", "		fresh, o.Again = false, r.Again\n", "		fresh, o.Numbered = false, r.Numbered\n"}}, "once", 60},
	{"results are forgotten with their owner", []edit{{"object/work.go", "_ = w.results.reset(a.requests)", "_ = w.results.reset(nil)"}}, "once", 100},
	{"floor raised too early", []edit{{"object/request.go", "			floor = s.all[i].number\n", ""}}, "once", 100},
	{"unrecorded answer believed after a second attempt", []edit{{"object/route.go", `	if w.doubt == nil {
		if !errors.Is(err, ErrUnknownOutcome) {
			return false
		}
`, `	if !errors.Is(err, ErrUnknownOutcome) {
		return false
	}
	if w.doubt == nil {
`}}, "once", 200},
	{"nested calls without ordinals", []edit{{"object/request.go", "	p.last++\n", ""}}, "once", 20},
	{"nested calls without ordinals, nor checked", []edit{{"object/request.go", "	p.last++\n", ""},
		{"object/results.go", "k.id == n.ID && k.check == n.Check", "k.id == n.ID"}}, "once", 20},
	{"nested calls without ids", []edit{{"object/request.go", "	n := s.parent\n", "	n := s.parent\n	p.last += rand.Uint64()\n"},
		{"object/request.go", "	\"math\"\n", "	\"math\"\n	\"math/rand/v2\"\n"}}, "once", 200},
	{"call made again in its context is the next one", []edit{{"object/request.go", "	n.Again = true\n", "	return\n"}}, "once", 60},
	{"id from outside that means something else at each node", []edit{{"object/request.go", "sha256.Sum256([]byte(id))", "sha256.Sum256([]byte(id + uuid.NewString()))"}}, "once", 100},
}
