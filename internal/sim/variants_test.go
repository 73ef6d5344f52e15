package sim_test

var variants = []variant{
	{"no lease check before a read's answer", []edit{{"object/table.go",
		"snap == nil || !a.serving.lease.Valid()", "snap == nil"}}, "pauses", 120},
	{"no lease check before a write's answer", []edit{{"object/commit.go",
		"lease := a.serving.lease; !lease.Valid() && ", "lease := a.serving.lease; false && "}}, "cut off", 120},
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
`, `	if o.err != nil {
		o.answer(o.err)
		return
	}
	w.ran = append(w.ran, o)
`}}, "crashes", 60},
	{"412 taken as failure", []edit{{"object/rules.go", `	case r == putCondition:
		return stepLook`, `	case r == putCondition:
		return stepRefuse`}}, "bad store", 100},
	{"load before the wait", []edit{
		{"object/activation.go", `	if err := sleepUntil(ctx, a.serving.lease.Clock(), claim.ServeAt()); err != nil {
		return nil, unavailable(key, fmt.Errorf("it waited for a lost owner's lease to be over: %w", err))
	}
`, ""},
		{"object/activation.go", `	return a.decode(record, tag)
}

// A loaded`, `	if err := sleepUntil(ctx, a.serving.lease.Clock(), claim.ServeAt()); err != nil {
		return nil, unavailable(key, err)
	}
	return a.decode(record, tag)
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
			"	p, err := c.early, error(nil)\n	if p == nil {\n		p, err = c.presence(ctx)\n	}\n"}}, "moves", 500},
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
}
