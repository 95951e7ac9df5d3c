// Package blocks checks every YAML block of the Markdown pages, each with the tool
// that it is for.
package blocks
