package policy

import "github.com/wedge-proxy/wedge/policy/abi"

// verdicts are the words of the header x-wedge-policy, the strongest last.
var verdicts = [...]string{"pass", "tag", "route", "edit", "answer", "deny"}

const (
	pass = iota
	tagged
	routed
	edited
	answered
	denied
)

// strength says what an action makes of a verdict; what is not named here leaves it at pass.
var strength = [...]uint8{
	abi.TagTarget:         routed,
	abi.TagFallbacks:      routed,
	abi.TagModel:          routed,
	abi.TagVersion:        routed,
	abi.TagSetHeader:      routed,
	abi.TagDeleteHeader:   routed,
	abi.TagResponseHeader: routed,
	abi.TagCacheSalt:      routed,
	abi.TagCache:          routed,
	abi.TagTimeout:        routed,
	abi.TagHedge:          routed,
	abi.TagShadow:         routed,
	abi.TagMetric:         tagged,
	abi.TagPatches:        edited,
	abi.TagBody:           edited,
	abi.TagSystem:         edited,
	abi.TagMessage:        edited,
	abi.TagMaxTokens:      edited,
	abi.TagText:           edited,
	abi.TagDrop:           edited,
	abi.TagStop:           edited,
	abi.TagAnswer:         answered,
	abi.TagDeny:           denied,
}

// Verdict says in one word what a checked list decided: deny, answer, edit, route, tag or pass, the strongest of its
// actions. It allocates nothing.
func Verdict(list []byte) string {
	most := uint8(pass)
	for len(list) > 0 {
		a, rest, err := abi.Next(list)
		if err != nil {
			break
		}
		if int(a.Tag) < len(strength) {
			most = max(most, strength[a.Tag])
		}
		list = rest
	}
	return verdicts[most]
}
