// Package bugs has a folder for each of the commonest bugs of clients. README.md lists
// them with the message by which podinfotest finds each.
package bugs
