from textwrap import dedent

from airflow_provider_lmeval.catalog.python_tasks import class_config

MODULE = dedent(
    """
    import a_module_that_does_not_exist

    class Base(ConfigurableTask):
        VERSION = 2
        DATASET_PATH = "org/data"

        def construct_requests(self, doc, ctx, **kwargs):
            return [Instance(request_type="generate_until", doc=doc)]

        def higher_is_better(self):
            return {"f1": True, "loss": False}

    class Child(Base):
        DATASET_NAME = "child"
        UNSAFE_CODE = True

    class Mixed(Base):
        def construct_requests(self, doc, ctx, **kwargs):
            return [Instance(request_type="generate_until"), Instance(request_type="loglikelihood")]

    class Undirected(ConfigurableTask):
        def higher_is_better(self):
            return {name: True for name in self.metrics}

        def process_results(self, doc, results):
            return {"rouge1": results[0]}

    class Opaque(ConfigurableTask):
        pass
    """
)


def test_constants_and_methods_are_inherited_within_the_module():
    config = class_config(MODULE, "Child")
    assert (config["dataset_path"], config["dataset_name"]) == ("org/data", "child")
    assert config["metadata"] == {"version": 2}
    assert config["output_type"] == "generate_until"


def test_metrics_and_directions_come_from_higher_is_better():
    assert class_config(MODULE, "Base")["metric_list"] == [
        {"metric": "f1", "higher_is_better": True},
        {"metric": "loss", "higher_is_better": False},
    ]


def test_metrics_without_literal_directions_come_from_the_results():
    assert class_config(MODULE, "Undirected")["metric_list"] == [{"metric": "rouge1"}]


def test_code_execution_is_read_from_the_class():
    assert class_config(MODULE, "Child")["unsafe_code"] is True
    assert class_config(MODULE, "Base")["unsafe_code"] is False


def test_a_class_that_mixes_requests_counts_as_loglikelihood():
    assert class_config(MODULE, "Mixed")["output_type"] == "loglikelihood"


def test_what_a_class_does_not_reveal_stays_unknown():
    config = class_config(MODULE, "Opaque")
    assert (config["output_type"], config["metric_list"], config["metadata"]) == (None, [], {})
