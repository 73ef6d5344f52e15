package faults

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
)

// packet is one of a leader's, with identities in it if there are any.
func packet(kind int32, data string, identities ...string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(kind))
	b = binary.BigEndian.AppendUint64(b, 7)
	appendString := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	appendString(data)
	if len(identities) == 0 {
		return binary.BigEndian.AppendUint32(b, 0xffffffff)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(identities)/2))
	for _, s := range identities {
		appendString(s)
	}
	return b
}

// A snapshot may hold anything, what looks like pings too.
func TestQuorumLosesPingsAlone(t *testing.T) {
	leader, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer leader.Close()
	proxy, err := NewQuorum("127.0.0.1:0", leader.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	follower, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	conn, err := leader.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	ping := packet(packetPing, "")
	snapshot := slices.Concat(packet(packetSnapshot, ""), ping, []byte("Benevolent r, BenevolentLeader"))
	request := packet(1, "a session's request", "digest", "somebody")
	sent := slices.Concat(packet(17, "hello"), snapshot, ping, request, ping, packet(2, "a proposal"), ping)
	whole, lossy := slices.Concat(sent), slices.Concat(packet(17, "hello"), snapshot, request, packet(2, "a proposal"))

	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, follower, whole)
	proxy.LosePings(true)
	if _, err := conn.Write(slices.Concat(sent, request)); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, follower, slices.Concat(lossy, request))
	if proxy.Lost() != 3 || proxy.Followers() != 1 {
		t.Errorf("%d pings were lost, to %d followers; want 3, 1", proxy.Lost(), proxy.Followers())
	}
	if _, err := follower.Write(ping); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, conn, ping) // a follower's own
}

// expectBytes reads so much and compares it.
func expectBytes(t *testing.T, r io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}
