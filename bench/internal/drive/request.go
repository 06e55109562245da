package drive

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Slot stands in a body for the number that makes one request differ from another: sixteen hexadecimal digits.
const Slot = "%%%%%%%%%%%%%%%%"

// ShortSlot has room for the number's last twelve digits: as many as the public part of a virtual key has characters.
const ShortSlot = "%%%%%%%%%%%%"

// ChatBody is a chat completion of about 1.4 KB for the model, streamed or not, with Slot in its last message
// and in its user.
func ChatBody(model string, stream bool) string {
	const question = "Customer record %s. The customer writes: my parcel was announced for Tuesday, the tracking page has " +
		"shown the same depot since Thursday, and the shop's own form answers with an error. Please tell me what I can do, " +
		"whom I have to call, and whether I may order the same article again without paying twice. "
	const system = "You are the support assistant of a mail-order shop. Answer in the language of the customer, in at " +
		"most five sentences, politely and to the point. Never promise a refund; name the form that has to be filled in. " +
		"If a question is not about an order, say so and give the address of the general help page. Do not repeat what " +
		"the customer has written, do not invent order numbers, and never ask for a password or for card details. " +
		"The shop sends to all countries of the European Union and to Norway. A parcel takes two to four working days, a " +
		"pallet up to ten. Returns are free within thirty days if the article is unused and in its own box; whoever lost " +
		"the label can print another one. Gift cards are never refunded in money, and a voucher counts once. "
	mode := ""
	if stream {
		mode = `"stream":true,`
	}
	return fmt.Sprintf(`{"model":%s,%s"messages":[{"role":"system","content":%s},{"role":"user","content":%s},`+
		`{"role":"assistant","content":"I am sorry about the delay. Which order is it about?"},`+
		`{"role":"user","content":%s}],"temperature":0.2,"max_tokens":256,"user":"bench-%s"}`,
		strconv.Quote(model), mode, strconv.Quote(system), strconv.Quote(fmt.Sprintf(question, "A-17")),
		strconv.Quote(fmt.Sprintf("It is order %s, and I would like to know today.", Slot)), Slot)
}

// Request is one HTTP/1.1 POST, rendered once; its slots are overwritten in place for every send.
type Request struct {
	bytes []byte
	slots [][]byte // parts of bytes
}

// NewRequest renders a POST of body to path at addr. Headers are "Name: value"; a key becomes a bearer token. Body, key
// and headers may hold slots.
func NewRequest(addr, path, body, key string, headers []string) (*Request, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", path, addr, len(body))
	if key != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", key)
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.ContainsAny(h, "\r\n") {
			return nil, fmt.Errorf("cannot send header %q: write it as 'Name: value'", h)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", strings.TrimSpace(name), strings.TrimSpace(value))
	}
	fmt.Fprintf(&b, "\r\n%s", body)
	r := &Request{bytes: b.Bytes()}
	for rest := r.bytes; ; {
		i := bytes.Index(rest, []byte(ShortSlot))
		if i < 0 {
			return r, nil
		}
		n := len(ShortSlot)
		if bytes.HasPrefix(rest[i:], []byte(Slot)) {
			n = len(Slot)
		}
		r.slots = append(r.slots, rest[i:i+n])
		rest = rest[i+n:]
	}
}

// with puts id into every slot and returns the request's own bytes, valid until the next call.
func (r *Request) with(id uint64) []byte {
	const digits = "0123456789abcdef"
	for _, s := range r.slots {
		for i, v := len(s)-1, id; i >= 0; i, v = i-1, v>>4 {
			s[i] = digits[v&15]
		}
	}
	return r.bytes
}
