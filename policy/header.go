package policy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// untouchable are the headers that no policy sets, deletes or sees: they carry credentials, or say how a message is
// framed, encoded or passed on, which is the node's own business. x-wedge-* belongs to them too.
var untouchable = map[string]bool{
	"authorization": true, "x-api-key": true, "api-key": true, "x-goog-api-key": true,
	"cookie": true, "set-cookie": true, "host": true,
	"content-length": true, "transfer-encoding": true, "content-encoding": true, "accept-encoding": true, "expect": true,
	"connection": true, "keep-alive": true, "proxy-authenticate": true, "proxy-authorization": true,
	"proxy-connection": true, "te": true, "trailer": true, "upgrade": true,
}

var ownPrefix = []byte("x-wedge-")

// Touchable tells whether policies may see and change the header. Names compare without regard to case.
func Touchable(name []byte) bool {
	var low [maxName]byte
	n := copy(low[:], name)
	for i, b := range low[:n] {
		if 'A' <= b && b <= 'Z' {
			low[i] = b | 0x20
		}
	}
	return n == len(name) && !untouchable[string(low[:n])] && !bytes.HasPrefix(low[:n], ownPrefix)
}

// told are the headers of an answer in which the node itself tells what happened, and how to read the answer.
var told = map[string]bool{
	"x-request-id": true, "age": true, "cache-status": true, "server-timing": true, "retry-after": true, "retry-after-ms": true,
	"content-type": true, "cache-control": true, "date": true, "server": true,
}

// responseHeader checks a name and a value as TagResponseHeader carries them.
func responseHeader(p []byte) error {
	if err := header(p); err != nil {
		return err
	}
	if name, _, _ := pair(p); told[strings.ToLower(string(name))] {
		return fmt.Errorf("the node itself tells the header %s", name)
	}
	return nil
}

// requestHeader checks a name and a value as TagSetHeader carries them.
func requestHeader(p []byte) error {
	if err := header(p); err != nil {
		return err
	}
	if name, _, _ := pair(p); strings.EqualFold(string(name), "content-type") {
		return errors.New("the node itself says what the body's type is")
	}
	return nil
}

// header checks a name and a value.
func header(p []byte) error {
	name, value, err := pair(p)
	if err != nil {
		return err
	}
	if err := headerName(name); err != nil {
		return err
	}
	if err := atMost(value, maxHeaderValue, "value"); err != nil {
		return err
	}
	for _, b := range value {
		if b < 0x20 && b != '\t' || b == 0x7f {
			return fmt.Errorf("the value of %s has the control character 0x%02x", name, b)
		}
	}
	return nil
}

func headerName(name []byte) error {
	if len(name) == 0 || len(name) > maxName {
		return fmt.Errorf("its header's name has %d bytes, want 1 to %d", len(name), maxName)
	}
	for _, b := range name {
		if !isToken[b] {
			return errors.New("its header's name is not a token: want letters, digits and !#$%&'*+-.^_`|~")
		}
	}
	if !Touchable(name) {
		return fmt.Errorf("no policy may touch the header %s", name)
	}
	return nil
}

// isToken holds the characters of a header's name (RFC 9110, section 5.6.2).
var isToken = func() (set [256]bool) {
	for _, b := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		set[b] = true
	}
	return set
}()
