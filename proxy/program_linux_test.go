package proxy

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProgramAreas(t *testing.T) {
	const smaps = `00400000-01a2b000 r-xp 00000000 fe:01 131 /opt/my apps/wedge
Size:              22700 kB
Rss:               13000 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
01a2b000-02b00000 r--p 0162b000 fe:01 131 /opt/my apps/wedge
Rss:                9000 kB
Anonymous:             4 kB
02b00000-02c00000 r--p 0262b000 fe:01 131 /opt/my apps/wedge
Rss:                 500 kB
Anonymous:             0 kB
02c00000-02d00000 rw-p 0272b000 fe:01 131 /opt/my apps/wedge
Rss:                 900 kB
Anonymous:             0 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:01 132 /usr/lib/libc.so.6
Rss:                 800 kB
Anonymous:             0 kB
7f0000200000-7f0000300000 r--s 00000000 fe:01 131 /opt/my apps/wedge
Anonymous:             0 kB
7f0000400000-7f0000500000 r--p 00000000 00:00 0
Anonymous:             0 kB
zz-7f0000500000 r--p 00000000 fe:01 131 /opt/my apps/wedge
Anonymous:             0 kB
`
	assert.Equal(t, []area{{0x400000, 0x1a2b000, 13000}, {0x2b00000, 0x2c00000, 500}}, programAreas([]byte(smaps), "/opt/my apps/wedge"))
	assert.Empty(t, programAreas([]byte(smaps), "/opt/wedge"))
	assert.Empty(t, programAreas(nil, ""))
}

func TestGiveProgramBack(t *testing.T) {
	program, err := os.Readlink("/proc/self/exe")
	require.NoError(t, err)
	resident := func() (kb int) {
		smaps, err := os.ReadFile("/proc/self/smaps")
		if err != nil {
			t.Skip("the system does not tell what is in memory:", err)
		}
		areas := programAreas(smaps, program)
		require.NotEmpty(t, areas, "of %s in\n%s", program, smaps)
		for _, a := range areas {
			kb += a.resident
		}
		return kb
	}
	before := resident()
	giveProgramBack()
	assert.Less(t, resident(), before/2, "KB of the program in memory")
}
