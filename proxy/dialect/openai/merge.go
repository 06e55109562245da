package openai

import "strconv"

// node is a JSON value that grows by deltas. It stays as written until a second delta needs its parts, so a value
// that came in one piece is kept to the letter.
type node struct {
	raw []byte // while neither obj nor arr is in use
	obj []child
	arr []*node
}

type child struct {
	key  string
	node *node
}

// most bounds how many choices an answer, members an object and list elements that still grow there may be, so that
// looking for one costs little whatever a provider sends.
const most = 512

// replaced names the strings that a later delta repeats or corrects; all other strings are joined.
func replaced(key string) bool {
	switch key {
	case "id", "type", "name", "role", "format", "object":
		return true
	}
	return false
}

func (n *node) kind() byte {
	switch {
	case n.obj != nil:
		return '{'
	case n.arr != nil:
		return '['
	case len(n.raw) == 0:
		return 'n'
	}
	return n.raw[0]
}

// merge adds the delta val to the value called key. It reports false where the two do not fit together: text and
// a list, for one.
func (n *node) merge(key string, val []byte) bool {
	have, kind := n.kind(), val[0]
	switch {
	case kind == 'n' && have == 'n':
		n.raw = val
	case kind == 'n', string(val) == `""` && have != 'n': // adds nothing
	case have == 'n', string(n.raw) == `""`, kind == '"' && have == '"' && replaced(key):
		n.raw = val
	case have != kind && (isContainer(have) || isContainer(kind) || have == '"' || kind == '"'):
		return false
	case kind == '"':
		n.raw = append(n.raw[:len(n.raw)-1], val[1:]...)
	case kind == '{':
		return n.mergeObject(val)
	case kind == '[':
		return n.mergeArray(val)
	default:
		n.raw = val
	}
	return true
}

func isContainer(kind byte) bool { return kind == '{' || kind == '[' }

func (n *node) mergeObject(val []byte) bool {
	n.expand()
	o, ok := members(val)
	for _, m := range o {
		ok = n.child(m.key).merge(m.key, m.val) && ok
		if len(n.obj) > most {
			return false
		}
	}
	return ok
}

// mergeArray adds elements: those that carry an index to the element with that index, others at the end.
func (n *node) mergeArray(val []byte) bool {
	n.expand()
	a, ok := elements(val)
	for _, v := range a {
		if to := n.element(v); to != nil {
			ok = to.mergeObject(v) && ok
		} else {
			n.arr = append(n.arr, &node{raw: v})
		}
	}
	return ok
}

// element finds the element that the delta val goes on with. Some servers give all parallel tool calls index 0,
// others give one call a new id with each delta: another id begins another call only together with a name.
func (n *node) element(val []byte) *node {
	if val[0] != '{' {
		return nil
	}
	o, _ := members(val)
	index := o.get("index")
	if !isSet(index) {
		return nil
	}
	function, _ := members(orObject(o.get("function")))
	id := o.get("id")
	another := hasText(id) && hasText(function.get("name"))
	for i := len(n.arr) - 1; i >= max(0, len(n.arr)-most); i-- {
		e := n.arr[i]
		if e.kind() != '{' {
			continue
		}
		e.expand()
		if string(e.child("index").raw) == string(index) {
			if have := e.child("id").raw; another && hasText(have) && string(have) != string(id) {
				return nil
			}
			return e
		}
	}
	return nil
}

// hasText reports whether val is a string that is not empty.
func hasText(val []byte) bool { return len(val) > 2 && val[0] == '"' }

func orObject(val []byte) []byte {
	if len(val) == 0 || val[0] != '{' {
		return []byte("{}")
	}
	return val
}

// expand takes the raw object or array apart.
func (n *node) expand() {
	switch {
	case len(n.raw) == 0:
	case n.raw[0] == '{':
		o, _ := members(n.raw)
		n.obj = make([]child, len(o))
		for i, m := range o {
			n.obj[i] = child{m.key, &node{raw: m.val}}
		}
		n.raw = nil
	case n.raw[0] == '[':
		a, _ := elements(n.raw)
		n.arr = make([]*node, len(a))
		for i, v := range a {
			n.arr[i] = &node{raw: v}
		}
		n.raw = nil
	}
}

// child returns the named member of an object, a new null one where there is none.
func (n *node) child(key string) *node {
	for i := len(n.obj) - 1; i >= 0; i-- {
		if n.obj[i].key == key {
			return n.obj[i].node
		}
	}
	n.obj = append(n.obj, child{key, new(node)})
	return n.obj[len(n.obj)-1].node
}

// appendTo appends the value as JSON. Members that are still null because they were only asked for are left out.
func (n *node) appendTo(dst []byte) []byte {
	switch {
	case n.obj != nil:
		dst = append(dst, '{')
		at := len(dst)
		for _, c := range n.obj {
			if c.node.kind() == 'n' && c.node.raw == nil {
				continue
			}
			if len(dst) > at {
				dst = append(dst, ',')
			}
			dst = c.node.appendTo(appendMember(dst, c.key, nil))
		}
		return append(dst, '}')
	case n.arr != nil:
		dst = append(dst, '[')
		for i, e := range n.arr {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.appendTo(dst)
		}
		return append(dst, ']')
	case n.raw == nil:
		return append(dst, "null"...)
	}
	return append(dst, n.raw...)
}

// indexOf reads an index; what is no number is the first.
func indexOf(val []byte) int {
	i, err := strconv.Atoi(string(val))
	if err != nil {
		return 0
	}
	return i
}
