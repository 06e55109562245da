package wire

// SplitPart is SplitCatalog for a part of a catalog: the fields of its entries are checked, but not whether what they
// name is there, which may be in another part.
func SplitPart(name string, data []byte) ([]Resource, error) {
	root, problem := parseYAML(data)
	if problem != nil {
		return nil, problemsOf(name, []Problem{*problem})
	}
	for _, visit := range []func(value){
		func(v value) { readCatalog(v) },
		func(v value) { data = v.appendJSON(nil, 0) },
	} {
		d := &decoder{left: 3*len(data) + 1<<20, marks: map[string]mark{}}
		visit(d.at(root, ""))
		if err := problemsOf(name, d.problems); err != nil {
			return nil, err
		}
	}
	return splitJSON(data)
}
