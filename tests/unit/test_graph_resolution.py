"""An import leads to the file that it means, in the language's own way, and to none that only looks like it."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.graph import Import
from nearcode.retrieval.resolution.families import FAMILIES, Resolution
from nearcode.retrieval.resolution.tree import Tree

from tests.unit.graph_trees import resolve

PYTHON = [
    "shop/__init__.py", "shop/cart.py", "shop/tax/__init__.py", "shop/tax/rates.py", "shop/json.py", "tests/test_cart.py",
    "tests/factories.py", "scripts/run.py", "scripts/tools.py", "setup.py",
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "target", "names", "expected"),
    [
        ("tests/test_cart.py", "shop.cart", ("Cart",), ["shop/cart.py"]),
        ("tests/test_cart.py", "shop", ("cart", "tax"), ["shop/cart.py", "shop/tax/__init__.py"]),
        ("tests/test_cart.py", "shop", ("cart", "VERSION"), ["shop/cart.py", "shop/__init__.py"]),
        ("tests/test_cart.py", "shop.cart.Cart", (), ["shop/cart.py"]),
        ("tests/test_cart.py", "factories", (), ["tests/factories.py"]),
        ("tests/test_cart.py", "tools", (), []),
        ("scripts/run.py", "tools", (), ["scripts/tools.py"]),
        ("shop/cart.py", ".tax.rates", ("VAT",), ["shop/tax/rates.py"]),
        ("shop/tax/rates.py", "..", ("cart",), ["shop/cart.py"]),
        ("shop/tax/rates.py", ".", (), ["shop/tax/__init__.py"]),
        ("shop/cart.py", "....nowhere", (), []),
        ("shop/cart.py", "json", (), []),
        ("shop/cart.py", "cart", (), []),
        ("shop/cart.py", "decimal", ("Decimal",), []),
    ],
)
def test_python(path: str, target: str, names: Sequence[str], expected: list[str]) -> None:
    assert resolve(PYTHON, path, target, *names) == expected


def test_python_below_src_and_in_several_packages_of_one_repository() -> None:
    paths = ["a/src/core/__init__.py", "a/src/core/db.py", "b/src/core/__init__.py", "b/src/core/db.py", "b/tests/test_db.py"]
    assert resolve(paths, "b/tests/test_db.py", "core.db") == ["b/src/core/db.py"]
    assert resolve(["src/ns/part/mod.py", "x.py"], "src/ns/part/other.py", "ns.part", "mod") == ["src/ns/part/mod.py"]


WEB = [
    "package.json", "src/app.ts", "src/cart/index.ts", "src/cart/total.tsx", "src/lib/money.js", "src/lib/money.test.js",
    "packages/ui/src/index.ts", "packages/ui/src/button.tsx", "packages/math/lib/sum.js", "packages/math/main.js",
]  # fmt: skip
WEB_PROJECTS = {
    "tsconfig.json": '{ // aliases\n "compilerOptions": {"baseUrl": "src", "paths": {"@cart/*": ["cart/*"], "~": ["app"]}, }}',
    "packages/ui/package.json": '{"name": "@acme/ui", "exports": {".": {"import": "./dist/index.js"}, "./b": "./src/button.tsx"'
    "}}",
    "packages/math/package.json": '{"name": "math", "main": "main.js", "imports": {"#sum": "./lib/sum.js"}}',
}


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("src/app.ts", "./cart", "src/cart/index.ts"),
        ("src/app.ts", "./cart/total", "src/cart/total.tsx"),
        ("src/app.ts", "./cart/total.js", "src/cart/total.tsx"),
        ("src/cart/index.ts", "../lib/money.js", "src/lib/money.js"),
        ("src/cart/index.ts", "..", ""),
        ("src/app.ts", "@cart/total", "src/cart/total.tsx"),
        ("src/cart/index.ts", "lib/money", "src/lib/money.js"),
        ("src/cart/index.ts", "~", "src/app.ts"),
        ("src/app.ts", "@acme/ui", "packages/ui/src/index.ts"),
        ("src/app.ts", "@acme/ui/b", "packages/ui/src/button.tsx"),
        ("src/app.ts", "@acme/ui/button", "packages/ui/src/button.tsx"),
        ("src/app.ts", "math", "packages/math/main.js"),
        ("src/app.ts", "math/lib/sum", "packages/math/lib/sum.js"),
        ("packages/math/main.js", "#sum", "packages/math/lib/sum.js"),
        ("src/app.ts", "react", ""),
        ("src/app.ts", "../../outside", ""),
    ],
)
def test_javascript_and_typescript(path: str, target: str, expected: str) -> None:
    assert resolve(WEB, path, target, given=WEB_PROJECTS) == ([expected] if expected else [])


def test_go_packages_are_folders_of_the_module() -> None:
    paths = ["go.mod", "main.go", "cart/cart.go", "cart/total.go", "cart/cart_test.go", "tools/gen/gen.go", "cart/data.json"]
    modules = {"go.mod": "module example.com/shop/v2\n\ngo 1.22\n", "tools/go.mod": "module example.com/tools"}
    assert resolve(paths, "main.go", "example.com/shop/v2/cart", given=modules) == ["cart/cart.go", "cart/total.go"]
    assert resolve(paths, "cart/cart.go", "example.com/shop/v2", given=modules) == ["main.go"]
    assert resolve(paths, "main.go", "example.com/tools/gen", given=modules) == ["tools/gen/gen.go"]
    assert (
        resolve(paths, "main.go", "fmt", given=modules)
        == resolve(paths, "main.go", "example.com/else/cart", given=modules)
        == []
    )
    assert resolve(paths, "main.go", "example.com/acme/shop/cart") == ["cart/cart.go", "cart/total.go"]


JVM = [
    "app/src/main/java/com/acme/Cart.java", "app/src/main/java/com/acme/tax/Rates.java",
    "app/src/test/java/com/acme/CartTest.java",
    "lib/src/main/kotlin/money/Money.kt", "lib/src/main/kotlin/money/Extensions.kt", "core/src/main/scala/io/acme/Json.scala",
    "core/src/main/scala/io/acme/Codec.scala", "core/src/main/java/com/acme/util/Strings.java",
]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("com.acme.Cart", JVM[:1]),
        ("com.acme.Cart.EMPTY", JVM[:1]),
        ("com.acme.tax", JVM[1:2]),
        ("com.acme.money.Money", []),
        ("org.acme.lib.money.Money", []),
        ("io.acme.{ Json, Codec => C }", JVM[5:7]),
        ("io.acme.Json._", JVM[5:6]),
        ("java.util", []),
        ("java.util.List", []),
    ],
)
def test_java_kotlin_and_scala(target: str, expected: list[str]) -> None:
    assert sorted(resolve(JVM, JVM[2], target)) == sorted(expected)


def test_kotlin_may_leave_out_the_first_folders_of_a_package() -> None:
    paths = ["src/main/kotlin/cart/items/Item.kt", "src/main/kotlin/App.kt"]
    assert resolve(paths, paths[1], "com.acme.cart.items.Item") == paths[:1]


RUST = [
    "Cargo.toml", "shop/src/lib.rs", "shop/src/cart/mod.rs", "shop/src/cart/item.rs", "shop/src/tax.rs",
    "shop/src/tax/rates.rs", "shop/tests/cart.rs", "shop/tests/support/mod.rs",
    "shop-macros/src/lib.rs", "shop-macros/src/expand.rs",
]  # fmt: skip
CARGO = {"shop/Cargo.toml": '[package]\nname = "shop"\n', "shop-macros/Cargo.toml": '[package]\nname = "shop-macros"\n'}


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("shop/src/lib.rs", "cart", ["shop/src/cart/mod.rs"]),
        ("shop/src/lib.rs", "crate::cart::{item::Item, total}", ["shop/src/cart/item.rs", "shop/src/cart/mod.rs"]),
        ("shop/src/cart/item.rs", "super::Cart", ["shop/src/cart/mod.rs"]),
        ("shop/src/cart/item.rs", "super::super::tax::rates::VAT as RATE", ["shop/src/tax/rates.rs"]),
        ("shop/src/tax.rs", "self::rates::*", ["shop/src/tax/rates.rs"]),
        ("shop/src/tax.rs", "shop_macros::expand", ["shop-macros/src/expand.rs"]),
        ("shop/tests/cart.rs", "shop::cart::Cart", ["shop/src/cart/mod.rs"]),
        ("shop/tests/cart.rs", "support", ["shop/tests/support/mod.rs"]),
        ("shop/src/tax.rs", "std::collections::HashMap", []),
    ],
)
def test_rust(path: str, target: str, expected: list[str]) -> None:
    assert resolve(RUST, path, target, given=CARGO) == expected
    assert resolve(RUST, path, target) == expected  # a crate is then called as its folder


@pytest.mark.parametrize(
    ("paths", "target", "expected"),
    [
        (["src/a.c", "src/b.h", "include/lib/b.h", "string.h"], "b.h", ["src/b.h"]),
        (["src/a.c", "include/lib/b.h", "other/lib/b.h"], "lib/b.h", ["include/lib/b.h"]),
        (["src/a.c", "include/lib.h"], "<lib.h>", ["include/lib.h"]),
        (["src/a.c", "src/string.h"], "<string.h>", []),
        (["src/a.c", "include/b.h"], "../include/b.h", ["include/b.h"]),
    ],
)
def test_c_and_its_relatives(paths: Sequence[str], target: str, expected: list[str]) -> None:
    assert resolve(paths, "src/a.c", target) == expected


@pytest.mark.parametrize(
    ("paths", "target", "expected"),
    [
        (["Web/A.cs", "Acme.Shop/Tax/Rates.cs", "Acme.Shop/Cart.cs"], "Acme.Shop.Tax", ["Acme.Shop/Tax/Rates.cs"]),
        (["Web/A.cs", "Acme.Shop/Tax/Rates.cs", "Acme.Shop/Cart.cs"], "Acme.Shop", ["Acme.Shop/Cart.cs"]),
        (["Web/A.cs", "src/Shop/Orders/Order.cs"], "Acme.Shop.Orders", ["src/Shop/Orders/Order.cs"]),
        (["Web/A.cs", "src/Text/Json/Reader.cs"], "System.Text.Json", []),
    ],
)
def test_csharp(paths: Sequence[str], target: str, expected: list[str]) -> None:
    assert resolve(paths, "Web/A.cs", target) == expected


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("lib/shop.rb", "shop/cart", "lib/shop/cart.rb"),
        ("spec/cart_spec.rb", "spec_helper", "spec/spec_helper.rb"),
        ("lib/shop/cart.rb", "../shop", "lib/shop.rb"),
        ("lib/shop.rb", "json", ""),
    ],
)
def test_ruby(path: str, target: str, expected: str) -> None:
    paths = ["lib/shop.rb", "lib/shop/cart.rb", "spec/cart_spec.rb", "spec/spec_helper.rb", "vendor/gems/parser/json.rb"]
    assert resolve(paths, path, target) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (r"Acme\Shop\Cart", ["src/Cart.php"]),
        (r"Acme\Shop\Tax\Rates as R", ["src/Tax/Rates.php"]),
        (r"Acme\Shop\Tax", ["src/Tax/Rates.php"]),
        (r"Acme\Shop\{Cart, Tax\Rates}", ["src/Cart.php", "src/Tax/Rates.php"]),
        (r"Acme\Tests\CartTest", ["tests/CartTest.php"]),
        (r"Other\Shop\Cart", []),
        ("/../src/Cart.php", ["src/Cart.php"]),
    ],
)
def test_php(target: str, expected: list[str]) -> None:
    paths = ["src/Cart.php", "src/Tax/Rates.php", "tests/CartTest.php", "web/index.php"]
    composer = (
        '{"autoload": {"psr-4": {"Acme\\\\Shop\\\\": "src/"}}, "autoload-dev": {"psr-4": {"Acme\\\\Tests\\\\": ["tests"]}}}'
    )
    assert resolve(paths, "web/index.php", target, given={"composer.json": composer}) == expected


OTHERS: Mapping[str, tuple[str, str, str]] = {
    "lua": ("lua/shop/init.lua", "shop.cart", "lua/shop/cart.lua"),
    "lua folder": ("lua/x.lua", "shop", "lua/shop/init.lua"),
    "elixir": ("lib/app.ex", "Shop.CartItem", "lib/shop/cart_item.ex"),
    "haskell": ("app/Main.hs", "Data.Cart.Item", "src/Data/Cart/Item.hs"),
    "zig": ("src/main.zig", "cart/item.zig", "src/cart/item.zig"),
    "bash": ("bin/run.sh", "$ROOT/lib/log.sh", "lib/log.sh"),
    "styles": ("web/app.scss", "parts/button", "web/parts/_button.scss"),
    "page": ("web/index.html", "js/app.js?v=1", "web/js/app.js"),
}


@pytest.mark.parametrize("language", OTHERS)
def test_others(language: str) -> None:
    path, target, expected = OTHERS[language]
    assert resolve([path, expected], path, target) == [expected]


def test_a_hostile_import_leads_nowhere() -> None:
    for path in ("a.py", "a.rs", "A.java", "a.ts", "a.go", "a.c", "a.php", "a.lua"):
        for target in (
            "crate::" + "{" * 2_000 + "}" * 2_000,
            "a." * 5_000,
            "../" * 5_000,
            "{" * 2_000,
            "a," * 2_000,
            "*" * 5_000,
        ):
            assert resolve([path, "b.py"], path, target) == []


texts = st.text(st.sampled_from("ab./\\:{},*#@<>_ -$~'\"é\n"), max_size=20)
parts = st.sampled_from(["a", "b", "src", "lib", "index", "mod", "a.b", "__init__"])
extensions = sorted(FAMILIES)
trees = st.lists(
    st.tuples(st.lists(parts, min_size=1, max_size=4).map("/".join), st.sampled_from(extensions)).map("".join),
    min_size=1, max_size=12, unique=True,
)  # fmt: skip


@given(trees, st.lists(texts, min_size=1, max_size=4), st.lists(texts, max_size=2))
def test_whatever_is_written_leads_to_files_of_the_repository_or_to_none(
    paths: list[str], targets: list[str], names: list[str]
) -> None:
    resolution = Resolution(Tree(paths))
    for path in paths:
        for files in resolution.resolve(path, [Import(target, tuple(names)) for target in targets]):
            assert set(files) <= set(paths) - {path}
            assert len(set(files)) == len(files)
