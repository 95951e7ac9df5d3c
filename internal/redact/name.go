package redact

import (
	"bytes"
	"strings"
)

// Name reports whether the value of a variable or a parameter with this name is
// a secret. It compares words in any case: the values of PGPASSWORD, apiKeys and
// X-Amz-Signature are secrets, those of PATH, MONKEY and TOKENIZER are not. PWD
// and OLDPWD alone are the directories of a shell, and TOKEN_ENABLED is a switch. Name
// does not allocate.
func Name(name string) bool {
	const enabled = "_ENABLED"
	if strings.EqualFold(name, "PWD") || strings.EqualFold(name, "OLDPWD") || len(name) > len(enabled) && strings.EqualFold(name[len(name)-len(enabled):], enabled) {
		return false
	}
	for from := 0; from < len(name); from++ {
		to := from
		for to < len(name) && isLetter(name[to]) {
			to++
		}
		if to > from && secretRun(name[from:to]) {
			return true
		}
		from = to
	}
	return false
}

// secretRun is Name for letters without a separator. It splits them at camel
// case: APIKey is API and Key.
func secretRun(run string) bool {
	var buf [64]byte
	lower := buf[:0]
	for i := range len(run) {
		lower = append(lower, run[i]|0x20)
	}
	for _, part := range anywhere {
		if bytes.Contains(lower, part) {
			return true
		}
	}
	for from, i := 0, 1; i <= len(run); i++ {
		if i == len(run) || isUpper(run[i]) && (!isUpper(run[i-1]) || i+1 < len(run) && !isUpper(run[i+1])) {
			if word := lower[from:i]; secretWord(word) || secretWord(bytes.TrimSuffix(word, []byte("s"))) {
				return true
			}
			from = i
		}
	}
	return false
}

func isUpper(c byte) bool  { return 'A' <= c && c <= 'Z' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

var (
	// anywhere are the words that also mean a secret in the middle of another word.
	anywhere = [][]byte{[]byte("password"), []byte("passwd"), []byte("passphrase"), []byte("passcode"), []byte("secret"), []byte("credential"),
		[]byte("signature"), []byte("apikey"), []byte("sessionid"), []byte("sessid")}

	// endings are the words that also mean a secret at the end of another word.
	endings = [][]byte{[]byte("pass"), []byte("pwd"), []byte("token"), []byte("key"), []byte("auth"), []byte("dsn"), []byte("pw"), []byte("cred")}
)

// secretWord reports whether a word in lower case, in the singular, means a
// secret.
func secretWord(w []byte) bool {
	switch string(w) {
	case "authorization", "bearer", "cookie", "cred", "headers", "otp", "pat", "private", "psk", "pw", "sas", "sig", "webhook":
		return true
	case "sacred", "bypass", "compass", "encompass", "overpass", "trespass", "underpass", "donkey", "hockey", "hotkey", "jockey", "monkey", "turkey", "whiskey":
		return false
	}
	for _, end := range endings {
		if bytes.HasSuffix(w, end) {
			return true
		}
	}
	return false
}
