// Package ci shows how other projects use the image of podinfo in their tests.
// docs/in-ci.md explains the files.
package ci
