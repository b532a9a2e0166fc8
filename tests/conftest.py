WHOLE = "--whole"


def pytest_addoption(parser):
    parser.addoption(
        WHOLE, action="store_true", help="whole networks, and Grappler"
    )


def pytest_configure(config):
    # Where others run the tests, this process need not import TensorFlow.
    if config.getoption("dist", "no") == "no" or hasattr(config, "workerinput"):
        config.pluginmanager.import_plugin("common")
