// Package arch keeps the ladder: its tests hold every package of the module, its imports and its files against one
// table. It has no code of its own.
package arch
