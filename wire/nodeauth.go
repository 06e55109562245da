package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// NodeScheme begins the Authorization header of a node that calls an origin without TLS.
const NodeScheme = "Wedge-Node"

// requestAge is how far the clocks of node and origin may be apart.
const requestAge = 5 * time.Minute

// SignRequest is the Authorization header of a node's request over plain HTTP, where no TLS tells who calls: the
// certificate, the time, and a signature over the method, the request's URI (path and query) and the time. It does not
// cover the body, and whoever hears it can say it again for five minutes: it is meant for the loopback interface.
func SignRequest(key *ecdsa.PrivateKey, certificate []byte, method, uri string, now time.Time) string {
	seconds := strconv.FormatInt(now.Unix(), 10)
	signature, err := ecdsa.SignASN1(rand.Reader, key, requestSum(method, uri, seconds))
	if err != nil {
		panic("BUG: a node's key cannot sign: " + err.Error())
	}
	b64 := base64.RawURLEncoding
	return NodeScheme + " " + b64.EncodeToString(certificate) + "." + seconds + "." + b64.EncodeToString(signature)
}

// requestSum is what the signature covers.
func requestSum(method, uri, seconds string) []byte {
	sum := sha256.Sum256([]byte("wedge node 1\n" + method + "\n" + uri + "\n" + seconds))
	return sum[:]
}

var errRequest = errors.New("this is not the signature of a node's request")

// CheckRequest reads what SignRequest wrote, and returns the certificate whose key signed the request within the last
// five minutes. Whether the certificate is any good, it does not tell.
func CheckRequest(header, method, uri string, now time.Time) (*x509.Certificate, error) {
	parts := strings.Split(strings.TrimPrefix(header, NodeScheme+" "), ".")
	if !strings.HasPrefix(header, NodeScheme+" ") || len(parts) != 3 {
		return nil, errRequest
	}
	b64 := base64.RawURLEncoding.Strict()
	der, derErr := b64.DecodeString(parts[0])
	seconds, secondsErr := strconv.ParseInt(parts[1], 10, 64)
	signature, signatureErr := b64.DecodeString(parts[2])
	if derErr != nil || secondsErr != nil || signatureErr != nil {
		return nil, errRequest
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errRequest
	}
	key, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() || !ecdsa.VerifyASN1(key, requestSum(method, uri, parts[1]), signature) {
		return nil, errRequest
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > requestAge || age < -requestAge {
		return nil, fmt.Errorf("the request was signed %s away from the origin's time; set the node's clock", age.Round(time.Second).Abs())
	}
	return certificate, nil
}
