package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Virtual keys, secrets, and people's tokens: what is told once goes to Out alone, as one word, so that a script can
// take it; what is said of it goes to Notes.

// CreateKey makes a virtual key; entry is its catalog entry without id and hash.
func (s *Session) CreateKey(ctx context.Context, name string, entry map[string]any) error {
	entry["name"] = name
	answer, err := s.change(ctx, http.MethodPost, "keys", entry)
	if err != nil {
		return fmt.Errorf("cannot make the key %s: %w", name, err)
	}
	return s.printKey(answer)
}

// RotateKey gives a virtual key a new value; the former one is good for nothing any more.
func (s *Session) RotateKey(ctx context.Context, name string) error {
	answer, err := s.change(ctx, http.MethodPost, at("keys", name, "rotate"), nil)
	if err != nil {
		return fmt.Errorf("cannot rotate the key %s: %w", name, err)
	}
	return s.printKey(answer)
}

func (s *Session) printKey(answer []byte) error {
	return printAs(s, answer, func(t *table, k KeyMade) error {
		s.note("key %s is %s in revision %d; it is told only now", k.Name, k.ID, k.Rev)
		t.line("%s", k.Key)
		return nil
	})
}

// PutSecret makes or replaces a secret. No error repeats the value.
func (s *Session) PutSecret(ctx context.Context, name, value string) error {
	answer, err := s.change(ctx, http.MethodPut, at("secrets", name), map[string]string{"value": value})
	if err != nil {
		return fmt.Errorf("cannot put the secret %s: %w", name, hide(err, value))
	}
	return s.printResult(answer)
}

// hide takes a secret out of what the origin says of it.
func hide(err error, secret string) error {
	if e, is := errors.AsType[*Error](err); is {
		e.Message = strings.ReplaceAll(e.Message, secret, "[secret]")
		for i := range e.Problems {
			e.Problems[i].Message = strings.ReplaceAll(e.Problems[i].Message, secret, "[secret]")
		}
	}
	return err
}

// CreateToken makes a token for a person or a program.
func (s *Session) CreateToken(ctx context.Context, name, role string) error {
	answer, err := s.change(ctx, http.MethodPost, "tokens", map[string]string{"name": name, "role": role})
	if err != nil {
		return fmt.Errorf("cannot make the token %s: %w", name, err)
	}
	return printAs(s, answer, func(t *table, made TokenMade) error {
		s.note("the token of %s, %s, is told only now", name, role)
		t.line("%s", made.Token)
		return nil
	})
}

// ListTokens prints who has a token.
func (s *Session) ListTokens(ctx context.Context) error {
	answer, err := s.list(ctx, "tokens")
	if err != nil {
		return fmt.Errorf("cannot list the tokens: %w", err)
	}
	return printList(s, answer, func(t *table, items []Token) {
		t.row("NAME", "ROLE", "BEGINS", "MADE")
		for i := range items {
			t.row(items[i].Name, items[i].Role, items[i].Public, t.age(items[i].Made))
		}
	})
}

// RevokeToken makes a token good for nothing.
func (s *Session) RevokeToken(ctx context.Context, name string) error {
	answer, err := s.change(ctx, http.MethodDelete, at("tokens", name), nil)
	if err != nil {
		return fmt.Errorf("cannot revoke the token %s: %w", name, err)
	}
	return s.printDone(answer, "the token "+name+" is revoked")
}

// ListSigners prints the keys that nodes believe; the one that signs comes last.
func (s *Session) ListSigners(ctx context.Context) error {
	answer, err := s.list(ctx, "signer")
	if err != nil {
		return fmt.Errorf("cannot list the signing keys: %w", err)
	}
	return printList(s, answer, func(t *table, items []Signer) { t.signers(items) })
}

func (t *table) signers(items []Signer) {
	t.row("NAME", "MADE", "SIGNS", "PUBLIC KEY")
	for i := range items {
		t.row(items[i].Name, t.age(items[i].Made), yes(items[i].Signs, "yes"), items[i].Public)
	}
}

// RotateSigner gives the origin a new signing key.
func (s *Session) RotateSigner(ctx context.Context) error {
	answer, err := s.change(ctx, http.MethodPost, "signer/rotate", nil)
	if err != nil {
		return fmt.Errorf("cannot rotate the signing key: %w", err)
	}
	return printList(s, answer, func(t *table, items []Signer) { t.signers(items) })
}

// RetireSigner ends the trust in a signing key.
func (s *Session) RetireSigner(ctx context.Context, name string) error {
	answer, err := s.change(ctx, http.MethodDelete, at("signer", name), nil)
	if err != nil {
		return fmt.Errorf("cannot retire the signing key %s: %w", name, err)
	}
	return s.printDone(answer, "the signing key "+name+" is trusted no more")
}
