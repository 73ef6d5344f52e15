// Package codectest checks what objgen generates, by reflection and without a word of generated code in common with it: the bytes that
// [Encode] writes by the rules of the format, values made by [Fill] and changed by [Scramble], and [Case], which puts a type of objects to all tests.
package codectest
