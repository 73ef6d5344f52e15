package codegen

import (
	"slices"
	"strings"
	"unicode"
)

// words splits a Go name where a new word begins: "TodoList" is Todo and List, "HTTPServer2" is HTTP and Server2.
func words(name string) []string {
	var words []string
	runes := []rune(name)
	start := 0
	for i := 1; i < len(runes); i++ {
		before, here := runes[i-1], runes[i]
		after := i+1 < len(runes) && unicode.IsLower(runes[i+1])
		if here == '_' || unicode.IsUpper(here) && (!unicode.IsUpper(before) || after) {
			words = append(words, string(runes[start:i]))
			start = i
		}
	}
	words = append(words, string(runes[start:]))
	for i, w := range words {
		words[i] = strings.Trim(w, "_")
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// kebab is a type's name in keys, unless the directive gives it another.
func kebab(name string) string { return strings.ToLower(strings.Join(words(name), "-")) }

// snake is a type's name in names of files.
func snake(name string) string { return strings.ToLower(strings.Join(words(name), "_")) }

// lowerFirst is the name unexported: "List" is list, "HTTPServer" httpServer, "URL" url.
func lowerFirst(name string) string {
	first := words(name)[0]
	return strings.ToLower(first) + strings.TrimPrefix(name, first)
}

// upperFirst is the name exported.
func upperFirst(name string) string {
	runes := []rune(name)
	return string(unicode.ToUpper(runes[0])) + string(runes[1:])
}

// plural is the English plural of a type's name.
func plural(name string) string {
	for _, end := range []string{"s", "x", "z", "ch", "sh"} {
		if strings.HasSuffix(name, end) {
			return name + "es"
		}
	}
	if stem, ok := strings.CutSuffix(name, "y"); ok && stem != "" && !strings.ContainsAny(stem[len(stem)-1:], "aeiouAEIOU") {
		return stem + "ies"
	}
	return name + "s"
}

// article is the indefinite article of what follows in prose: by its first letter.
func article(name string) string {
	if strings.ContainsAny(name[:1], "aeioAEIO") {
		return "an"
	}
	return "a"
}

// validName tells whether a type can have the name in keys.
func validName(name string) bool {
	if name == "" || len(name) > 64 || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// plainMethods are those of well-known interfaces: they are Go methods of the state, and no calls of the object.
var plainMethods = map[string]bool{
	"String": true, "GoString": true, "Error": true, "Format": true, "LogValue": true, "Scan": true, "Value": true, "Equal": true,
	"Compare": true, "Less": true, "Len": true, "Swap": true, "Clone": true, "GobEncode": true, "GobDecode": true,
}

// isPlainMethod tells whether a method without a context is left alone.
func isPlainMethod(name string) bool {
	for _, prefix := range []string{"Marshal", "Unmarshal", "Append"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" && unicode.IsUpper([]rune(rest)[0]) {
			return true
		}
	}
	return plainMethods[name]
}
