package zkserver

import (
	"encoding/hex"
	"testing"
)

func TestPasswordIsThatOfJavaUtilRandom(t *testing.T) {
	for id, want := range map[int64]string{
		0x100058b2f4a0003: "91ef1f73c153f2832d8b775e3f10f62c",
		1:                 "054cc74a37327db215e702e20c73f005",
		0x3ffffffffffffff: "20f62cb5648dc2d771471c8a2486a9ee",
		-5:                "d47144b5e45e45c49c3b7fdcd66257ba",
	} {
		if got := hex.EncodeToString(password(id)); got != want {
			t.Errorf("password(%#x) = %s, java says %s", id, got, want)
		}
	}
}
