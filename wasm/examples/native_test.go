package examples

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/wedge-proxy/wedge/policy/abi"
)

// native is a policy in Go: what the guests are compared with. Its hooks append binary actions; those that a host
// carries out itself they carry out themselves.
type native struct {
	request  func(in *abi.Request, dst []byte) ([]byte, error)
	response func(in *abi.Response, dst []byte) ([]byte, error)
	chunk    func(in *abi.Chunk, dst []byte) ([]byte, error)
	done     func(in *abi.Done, dst []byte) ([]byte, error)
}

func (n *native) Caps() abi.Caps { return 0 }

func (n *native) Request(in *abi.Request, dst []byte) ([]byte, error) { return n.request(in, dst) }

func (n *native) Response(in *abi.Response, dst []byte) ([]byte, error) {
	return n.response(in, dst)
}

func (n *native) Chunk(in *abi.Chunk, dst []byte) ([]byte, error) { return n.chunk(in, dst) }
func (n *native) Done(in *abi.Done, dst []byte) ([]byte, error)   { return n.done(in, dst) }

func header(in *abi.Request, name string) []byte {
	for _, p := range in.Headers {
		if strings.EqualFold(string(p.Name), name) {
			return p.Value
		}
	}
	return nil
}

func nativeLanguage(config []byte) (*native, error) {
	var rules map[string]string
	if err := json.Unmarshal(config, &rules); err != nil {
		return nil, err
	}
	return &native{request: func(in *abi.Request, dst []byte) ([]byte, error) {
		language := header(in, "accept-language")
		letters := bytes.IndexFunc(language, func(r rune) bool { return !('a' <= r|0x20 && r|0x20 <= 'z') || r > 127 })
		if letters >= 0 {
			language = language[:letters]
		}
		target, ok := rules[strings.ToLower(string(language))]
		if !ok || len(language) == 0 {
			target = rules["*"]
		}
		if target == "" {
			return dst, nil
		}
		return abi.AppendTarget(dst, target), nil
	}}, nil
}
