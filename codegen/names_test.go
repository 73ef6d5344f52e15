package codegen

import "testing"

func TestNames(t *testing.T) {
	for _, want := range []struct{ name, kebab, snake, lower, plural string }{
		{"List", "list", "list", "list", "Lists"},
		{"TodoList", "todo-list", "todo_list", "todoList", "TodoLists"},
		{"HTTPServer", "http-server", "http_server", "httpServer", "HTTPServers"},
		{"URL", "url", "url", "url", "URLs"},
		{"UserV2", "user-v2", "user_v2", "userV2", "UserV2s"},
		{"Snake_Case", "snake-case", "snake_case", "snake_Case", "Snake_Cases"},
		{"A", "a", "a", "a", "As"},
		{"ABox", "a-box", "a_box", "aBox", "ABoxes"},
		{"Category", "category", "category", "category", "Categories"},
		{"Day", "day", "day", "day", "Days"},
		{"Y", "y", "y", "y", "Ys"},
		{"Class", "class", "class", "class", "Classes"},
		{"Batch", "batch", "batch", "batch", "Batches"},
		{"Wish", "wish", "wish", "wish", "Wishes"},
	} {
		got := want
		got.kebab, got.snake, got.lower, got.plural = kebab(want.name), snake(want.name), lowerFirst(want.name), plural(want.name)
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestPlainMethods(t *testing.T) {
	for name, want := range map[string]bool{
		"String": true, "MarshalJSON": true, "UnmarshalText": true, "AppendBinary": true, "Clone": true,
		"Marshal": false, "Append": false, "Marshalled": false, "Open": false, "Strings": false,
	} {
		if got := isPlainMethod(name); got != want {
			t.Errorf("isPlainMethod(%s) = %v", name, got)
		}
	}
}

func TestWhoMayImportInternalPackages(t *testing.T) {
	for _, c := range []struct {
		from, path string
		want       bool
	}{
		{"a.b/c", "a.b/d", true},
		{"a.b/c", "a.b/internal/d", true},
		{"a.b", "a.b/internal/d", true},
		{"a.b/c/d", "a.b/c/internal", true},
		{"a.b/cd", "a.b/c/internal", false},
		{"a.b/d", "a.b/c/internal/x", false},
		{"a.b/c", "a.b/c/internal/x/internal/y", false},
		{"a.b/c", "internal/x", false},
		{"a.b/c", "a.b/internals/x", true},
	} {
		if got := mayImport(c.from, c.path); got != c.want {
			t.Errorf("%s may import %s: %v", c.from, c.path, got)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	for word, want := range map[string]string{
		"objct": "did you mean object?", "upgrade1": "did you mean upgrade?", "raed": "did you mean read?", "something": "use one of object, read, upgrade",
	} {
		if got := didYouMean(word, directiveNames); got != want {
			t.Errorf("%s: %s", word, got)
		}
	}
}
