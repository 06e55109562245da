package wire

import "strings"

// node is a version of the catalog: the indices of its model and of itself.
type node struct{ model, version int }

// fallbackCycles reports fallbacks that lead back to where they began.
func (l *linker) fallbackCycles() {
	depths := map[node]int{}
	for i := range l.catalog.Models {
		for j := range l.catalog.Models[i].Versions {
			l.follow(node{i, j}, nil, depths)
		}
	}
}

// finished is the depth of a version whose fallbacks were all followed.
const finished = -1

// follow walks the fallbacks of n; trail is how it came there, depths where on it a version stands, from 1.
// References that mean nothing were reported before.
func (l *linker) follow(n node, trail []node, depths map[node]int) {
	if depths[n] == finished {
		return
	}
	trail = append(trail, n)
	depths[n] = len(trail)
	for k, ref := range l.catalog.Models[n.model].Versions[n.version].Fallback {
		name, selector, _ := strings.Cut(ref, "@")
		model, ok := l.models[name]
		if !ok {
			continue
		}
		next := node{model, l.catalog.Models[model].resolve(selector)}
		if next.version < 0 {
			continue
		}
		if depth := depths[next]; depth > 0 {
			l.root.locate("models", n.model, "versions", n.version, "fallback", k).
				failf("the fallbacks go round in a circle: %s", l.names(append(trail[depth-1:len(trail):len(trail)], next)))
			continue
		}
		l.follow(next, trail, depths)
	}
	depths[n] = finished
}

// names writes a trail as a@1.0.0 → b@2.0.0, a long one without its middle.
func (l *linker) names(trail []node) string {
	const most = 8
	var all []string
	for i, n := range trail {
		if i == most-2 && len(trail) > most {
			all = append(all, "…")
		}
		if i < most-2 || i >= len(trail)-2 {
			m := &l.catalog.Models[n.model]
			all = append(all, m.Name+"@"+m.Versions[n.version].Version)
		}
	}
	return strings.Join(all, " → ")
}
