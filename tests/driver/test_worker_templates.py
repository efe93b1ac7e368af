"""Templates say the same in the sandbox as in lm-eval's own environment, and cannot leave it."""

import pytest

from airflow_provider_lmeval.driver.worker.templates import set_up_templates

pytestmark = [pytest.mark.driver, pytest.mark.filterwarnings("ignore")]

DOC = {"q": " Why? ", "choices": ["a", "b"], "answer": 1, "n": 0.5, "s": {"text": ["x y", ""]}, "brace": "{{q}} {% if"}
TEMPLATES = [
    "Q: {{q.strip()}}\nA:",
    "{{choices[answer]}}\n",
    "{% for c in choices %}{{loop.index}}. {{c|upper}}\n{% endfor %}",
    "{{s.text[0].split(' ')|join('-')}}{{'%.2f'|format(n)}}",
    "{{q|regex_replace('[?]', '!')}}",
    "{{brace}}",
    "{% set x = answer + 1 %}{{x}}{{range(3)|list}}",
    "no template at all",
]


@pytest.fixture
def utils():
    import lm_eval.utils

    theirs = lm_eval.utils.env
    yield lm_eval.utils
    lm_eval.utils.env = theirs


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("sandboxed", [True, False])
def test_ordinary_templates_say_the_same(utils, template, sandboxed):
    expected = utils.apply_template(template, DOC)

    set_up_templates(sandboxed=sandboxed)

    assert [utils.apply_template(template, DOC) for _ in range(2)] == [expected, expected]


def test_a_template_is_compiled_once_and_rendered_for_each_document(utils):
    set_up_templates(sandboxed=True)

    assert utils.env.from_string("{{q}}") is utils.env.from_string("{{q}}")
    assert [utils.apply_template("{{q}}", {"q": n}) for n in (1, 2)] == ["1", "2"]


def test_a_missing_field_is_still_an_error(utils):
    from jinja2 import UndefinedError

    set_up_templates(sandboxed=True)

    with pytest.raises(UndefinedError):
        utils.apply_template("{{nope}}", DOC)


@pytest.mark.parametrize(
    "template", ["{{ q.__class__.__mro__ }}", "{{ cycler.__init__.__globals__ }}", "{{ ''|attr('__class__')|string }}"]
)
def test_the_sandbox_has_no_way_to_the_interpreter(utils, template):
    from jinja2.exceptions import SecurityError

    set_up_templates(sandboxed=True)

    with pytest.raises(SecurityError):
        utils.apply_template(template, DOC)


def test_with_permission_templates_may_do_what_lm_evals_do(utils):
    set_up_templates(sandboxed=False)

    assert utils.apply_template("{{ q.__class__.__name__ }}", DOC) == "str"
