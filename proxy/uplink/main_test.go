package uplink

import (
	"testing"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
