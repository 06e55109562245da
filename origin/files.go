package origin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/vault"
)

const (
	adminName = "admin"
	adminFile = "admin.token"
	caFile    = "ca.pem"
)

// welcome writes the files that people begin with: the CA's certificate and, where nobody has a token yet, that of the
// first admin.
func (o *Origin) welcome(ctx context.Context) error {
	pem, _ := o.vault.CA()
	if err := writeFile(filepath.Join(o.options.Data, caFile), pem, 0o644); err != nil {
		return err
	}
	tokens, err := o.vault.Tokens(ctx)
	if err != nil || len(tokens) > 0 {
		return err
	}
	err = giveAdmin(ctx, o.vault, o.options.Data)
	if errors.Is(err, vault.ErrExists) { // another origin was faster: the token lies there
		return nil
	}
	return err
}

// giveAdmin makes the admin's token and writes it down.
func giveAdmin(ctx context.Context, v *vault.Vault, data string) error {
	token, err := v.NewToken(ctx, adminName, vault.Admin)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(data, adminFile), []byte(token+"\n"), 0o600)
}

// ResetAdmin gives the admin a new token, in the file whose path it returns, when the old one got lost. On SQLite no
// origin may be running.
func ResetAdmin(ctx context.Context, options Options) (path string, err error) {
	o := &Origin{options: options}
	if err := o.options.settle(); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if err := o.openVault(ctx); err != nil {
		return "", err
	}
	if err := o.vault.RevokeToken(ctx, adminName); err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	return filepath.Join(o.options.Data, adminFile), giveAdmin(ctx, o.vault, o.options.Data)
}

// Restore fills an empty database from a backup in a file and begins a new epoch, by which nodes learn to take everything
// anew. The key-encryption key must be the one that the backup was made under: with another one, what was restored cannot
// be used until that key is in place, and the error says so.
func Restore(ctx context.Context, options Options, file string) (head store.Head, err error) {
	o := &Origin{options: options}
	if err := o.options.settle(); err != nil {
		return head, err
	}
	f, err := os.Open(file)
	if err != nil {
		return head, fmt.Errorf("cannot restore: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if head, err = store.Restore(ctx, storeOptions(o.options.DB), f); err != nil {
		return head, fmt.Errorf("cannot restore %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	err = o.openVault(ctx)
	if errors.Is(err, vault.ErrKEK) {
		return head, fmt.Errorf("%s is restored, but its keys cannot be read: put the key-encryption key of the origin that it "+
			"was made on into %s: %w", file, o.options.KEKFile, err)
	}
	return head, err
}

// writeFile puts a file there whole or not at all.
func writeFile(path string, content []byte, mode os.FileMode) error {
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	_, err = part.Write(content)
	err = errors.Join(err, part.Chmod(mode), part.Sync(), part.Close())
	if err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, errors.Join(err, os.Remove(part.Name())))
	}
	return nil
}
