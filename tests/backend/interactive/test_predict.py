"""The desk on a real store and a real Redis, with a worker in a thread of the test's own: what annotators get, and are told."""

import dataclasses
import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from backend.base.errors import Busy, Unreachable
from backend.db import database, request_store
from backend.inference.feature_cache import FeatureCache
from backend.inference.service import InferenceService
from backend.interactive import pending
from backend.interactive.events import keep_event
from backend.interactive.predict import PredictService
from backend.label_studio import messages, protocol
from backend.label_studio.images import ImageFetcher
from backend.transport import queueing, redis_client, worker_registry
from backend.transport.worker_registry import WorkerInfo
from backend.worker import jobs, wiring
from ris_core.errors import BadExpression
from tests.backend.stand_in_tasks import Row, TaskRoutes, UploadRoutes
from tests.toy import ColourEncoder, toy_png, toy_segmenter

PROJECT, TOKEN = 7, "token"
AREA = '<Text name="told" value="$image"/><TextArea name="ris_message" toName="told" maxSubmissions="0"/>'
SILENT = """<View><TextArea name="prompt" toName="image"/><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image" smart="false"><Label value="Object"/></BrushLabels></View>"""
CONFIG = SILENT.replace("<Image", AREA + "<Image")
TWO_LABELS = CONFIG.replace('<Label value="Object"/>', '<Label value="Thing"/><Label value="Dog"/>')


class CountingEncoder(ColourEncoder):
    """Counts how often each image is encoded, by its size; two toy images of one size are the same."""

    def __init__(self) -> None:
        self.encoded = Counter()

    def encode(self, image, proposals):
        self.encoded[image.size_hw] += 1
        return super().encode(image, proposals)


class Bench:
    """A desk, and a worker's service that does what is queued when told to, or in a thread."""

    def __init__(self, store, redis_url, folder, studio, deadline_s=20.0, max_queued=100) -> None:
        self.store, self.conn = store, redis_client.connect(redis_url)
        self.encoder = CountingEncoder()
        self.studio = studio
        cache, fetcher = FeatureCache(folder / "features", 1 << 22), ImageFetcher()
        self.service = InferenceService(store, cache, fetcher, toy_segmenter(encoder=self.encoder), 10_000, 3, ahead=5)
        self.predict_service = PredictService(store, self.conn, "toy", deadline_s, max_queued)
        self._is_over = threading.Event()

    def connect(self, **extra_params) -> None:
        setup = {"project": f"{PROJECT}.1", "schema": CONFIG, "extra_params": extra_params}
        if self.studio:
            setup |= {"hostname": self.studio.url, "access_token": TOKEN}
        self.predict_service.projects.set_up(protocol.read_setup(setup))

    def report(self, state="ready") -> None:
        worker_registry.report_worker(self.conn, WorkerInfo("w", "here", 1, 1.0, "toy", "cpu", "toy.v1", state))

    def work(self) -> int:
        """Do all that waits; how many jobs that was."""
        done = 0
        while taken := queueing.take(self.conn, "w", 0.01):
            queue, job_id = taken
            job = queueing._queue(self.conn, queue).fetch_job(job_id)
            jobs.ALLOWED[job.func_name](*job.args)
            queueing.announce(self.conn, job_id)
            queueing.drop_taken(self.conn, "w", queue, job_id)
            done += 1
        return done

    def start_worker(self) -> None:
        def run():
            while not self._is_over.is_set():
                self.work()

        self.report()
        self._thread = threading.Thread(target=run)
        self._thread.start()

    def close(self) -> None:
        self._is_over.set()
        if hasattr(self, "_thread"):
            self._thread.join()

    def open(self, *task_ids):
        return self.predict_service.predict(call(*task_ids, context=None))

    def requests(self, **values):
        with self.store._engine.connect() as db:
            rows = db.execute(sa.select(request_store.request).order_by(request_store.request.c.created_at)).mappings()
            return [dict(row) for row in rows if all(row[name] == value for name, value in values.items())]


def size_of(task_id) -> tuple[int, int]:
    return 40, 60 + 2 * int(task_id)


class FakeStudio(TaskRoutes, UploadRoutes):
    """A Label Studio with 12 tasks, of which the third is labelled."""

    token = TOKEN

    def __init__(self):
        super().__init__(PROJECT, CONFIG)

    def task_rows(self):
        return [Row(i, task(i)["data"], [{"id": 1}] if i == 3 else [], []) for i in range(1, 13)]

    def picture(self, name):
        number = name.partition(".")[0]
        return toy_png(*size_of(number)) if number.isdecimal() else None


@pytest.fixture
def studio(serve):
    return serve(FakeStudio())


@pytest.fixture
def make_bench(store, redis_url, tmp_path, studio, monkeypatch):
    made = []

    def make(**kwargs):
        bench = Bench(store, kwargs.pop("redis_url", redis_url), tmp_path, studio, **kwargs)
        monkeypatch.setattr(wiring, "service", lambda: bench.service)
        monkeypatch.setattr(wiring, "connection", lambda: bench.conn)
        bench.connect()
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench):
    return make_bench()


def task(task_id, **data):
    return {"id": int(task_id), "project": PROJECT, "data": {"image": f"/data/upload/{PROJECT}/{task_id}.png", **data}}


def typed(*texts, prompt_id="p1", name="prompt"):
    return {"type": "textarea", "from_name": name, "to_name": "image", "id": prompt_id, "value": {"text": list(texts)}}


def call(*task_ids, context=(), config=CONFIG, **data):
    return protocol.read_predict(
        {
            "tasks": [task(task_id, **data) for task_id in task_ids],
            "project": f"{PROJECT}.1",
            "label_config": config,
            "params": {"context": None if context is None else {"result": list(context)}},
        }
    )


def ask(bench, text, task_id=1, config=CONFIG, prompt_id="p1", **data):
    return bench.predict_service.predict(
        call(task_id, context=[typed(text, prompt_id=prompt_id)], config=config, **data)
    )


def test_an_expression_takes_few_statements(bench):
    bench.start_worker()
    ask(bench, "the red square")
    statements = []

    def note(_db, _cursor, statement, *_):
        statements.append(statement)

    sa.event.listen(bench.store.engine, "before_cursor_execute", note)
    assert regions(ask(bench, "the blue square"))
    sa.event.remove(bench.store.engine, "before_cursor_execute", note)
    assert len(statements) <= 18, statements  # 28 before


def told(answers):
    """What the page shows after the answer; None if the answer leaves it as it is."""
    [result] = answers.results
    found = [one for one in result["result"] if one["from_name"] == "ris_message"]
    assert all(one["to_name"] == "told" for one in found)
    texts = [one["value"]["text"] for one in found]
    return "".join(texts[0]) if texts else None


def regions(answers):
    return [one for one in answers.results[0]["result"] if one["from_name"] != "ris_message"]


# What is told with an answer


def as_first(message):
    """What is told with the first mask of a task, whose scores are no probabilities here."""
    return f"{message} {messages.TEXTS['uncalibrated']}".lstrip()


TOLD = {
    "plain match": ("the red square", CONFIG, ""),
    "guessed label": ("the red square", TWO_LABELS, "Label guessed: Thing; write “Dog: …” to choose."),
    "named label": ("Dog: the red square", TWO_LABELS, ""),
    "not sure": (
        "the red or blue square",
        CONFIG,
        f"Not sure about “the red or blue square”: {messages.AMBIGUOUS_HINT.format(rank=2)}",
    ),
}


@pytest.mark.parametrize(("text", "config", "message"), TOLD.values(), ids=TOLD)
def test_a_mask_comes_with_what_is_to_be_known_about_it(bench, text, config, message):
    bench.start_worker()
    answers = ask(bench, text, config=config)
    assert (len(regions(answers)), told(answers)) == (1, as_first(message))
    assert answers.outcomes == {"answered": 1}
    again = ask(bench, text, config=config)
    assert told(again) == message
    assert sum(again.messages.values()) == bool(message)


@pytest.mark.parametrize("config", [CONFIG, SILENT], ids=["with a place for messages", "without"])
def test_nothing_found_is_told_where_there_is_a_place_for_it(bench, config):
    bench.connect(min_score=0.999)
    bench.start_worker()
    answers = ask(bench, "the red or blue square", config=config)
    assert (regions(answers), answers.outcomes) == ([], {"unmatched": 1})
    is_told = config == CONFIG
    said = "Nothing found for “the red or blue square”. “next” shows what comes nearest."
    assert told(answers) == (said if is_told else None)
    assert answers.messages == (Counter(nothing_found=1) if is_told else Counter())


def bad_config(why):
    return messages.TEXTS["bad_config"].format(about=why)


FAILURES = {
    "image": (
        {"image": "/data/upload/7/missing.png"},
        CONFIG,
        "The image cannot be reached: its server does not give it out.",
    ),
    "no image": ({"image": ""}, CONFIG, bad_config("this task has no image in “image”")),
    "no control": (
        {},
        CONFIG.replace("BrushLabels", "Labels"),
        bad_config("its label config has no labels that a mask can be given"),
    ),
    "dynamic labels beside a static one": (
        {},
        CONFIG.replace("<BrushLabels", '<BrushLabels value="$labels"'),
        bad_config("its labels come from the task’s data ($labels)"),
    ),
    "one of a list of images": (
        {},
        CONFIG.replace('Image name="image" value="$image"', 'Image name="image" value="$images[0]"'),
        bad_config("its image is one entry of a list ($images[0])"),
    ),
    "a repeated image": (
        {},
        f'<View>{AREA}<TextArea name="prompt" toName="image_0"/><Repeater on="$p" indexFlag="{{{{i}}}}">'
        '<Image name="image_{{i}}" value="$p[{{i}}].url"/></Repeater></View>',
        bad_config("its label config repeats the image for several pages (Repeater)"),
    ),
    "host": ({"image": "http://evil.example/a.png"}, CONFIG, "The image cannot be reached: its host is not allowed."),
}


@pytest.mark.parametrize(("data", "config", "message"), FAILURES.values(), ids=FAILURES)
def test_what_goes_wrong_is_told(bench, data, config, message):
    bench.start_worker()
    answers = ask(bench, "the red square", config=config, **data)
    assert (regions(answers), told(answers), answers.outcomes) == ([], message, {"failed": 1})


EXPRESSIONS = {
    "unreadable": ("!!!", "has no letter or digit"),
    "too many": (";".join(f"the {i}" for i in range(17)), "17 expressions were asked for at once"),
}


@pytest.mark.parametrize(("text", "says"), EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_an_expression_that_cannot_be_read_is_told(bench, text, says):
    bench.start_worker()
    answers = ask(bench, text)
    assert (regions(answers), answers.messages) == ([], {"bad_expression": 1})
    assert says in told(answers)


def test_of_several_expressions_those_that_brought_nothing_are_told(bench):
    bench.start_worker()
    answers = ask(bench, "the red square; !!!; the square")
    assert len(regions(answers)) == 2
    assert told(answers).startswith("The expression '!!!' has no letter")


ABSENT = {
    "alone": ("None: the giraffe", [], "the giraffe"),
    "two": ("none: the giraffe; none: the zebra", [], "the giraffe, the zebra"),
    "beside one that is searched": ("the red square; none: the giraffe", ["the red square"], "the giraffe"),
}


@pytest.mark.parametrize(("text", "searched", "absent"), ABSENT.values(), ids=ABSENT)
def test_what_an_annotator_says_is_not_there_is_not_searched(bench, text, searched, absent):
    bench.start_worker()
    answers = ask(bench, text)
    message = messages.TEXTS["absent"].format(about=absent)
    assert (len(regions(answers)), told(answers)) == (len(searched), as_first(message) if searched else message)
    assert [request["body"]["expressions"] for request in bench.requests()] == [searched] * bool(searched)


def test_none_without_an_expression_asks_nothing(bench):
    assert (told(ask(bench, "none: ")), bench.requests()) == ("", [])


def test_an_opened_task_whose_field_says_that_nothing_is_meant_is_not_asked(bench):
    bench.predict_service.predict(call(1, context=None, expression="none: the giraffe"))
    assert [request["kind"] for request in bench.requests()] == ["encode"]


def test_a_click_is_told_that_it_is_not_answered(bench):
    click = {"type": "keypointlabels", "from_name": "click", "value": {"x": 1, "y": 1}}
    answers = bench.predict_service.predict(call(1, context=[click]))
    assert (told(answers), answers.outcomes) == (messages.TEXTS["click"], {"idle": 1})


TWO_IMAGES = CONFIG.replace(
    "<View>",
    """<View><Image name="second" value="$b"/><TextArea name="ask" toName="second"/>
  <Repeater on="$p" indexFlag="{{i}}"><Image name="page_{{i}}" value="$p[{{i}}].url"/></Repeater>""",
)
ELSEWHERE = {
    "a prompt of another image": {**typed("the dog", name="ask"), "to_name": "second"},
    "a click on another image": {
        "type": "keypointlabels",
        "from_name": "c",
        "to_name": "second",
        "value": {"x": 1, "y": 1},
    },
    "a prompt of a page": {**typed("the dog", name="ask_3"), "to_name": "page_3"},
}


@pytest.mark.parametrize("result", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_is_asked_of_another_image_is_told_which_one_is_answered(bench, result):
    answers = bench.predict_service.predict(call(1, context=[result], config=TWO_IMAGES))
    assert (told(answers), bench.requests()) == ("Only the image “image” is answered here.", [])


FOREIGN = {
    "choices": {"type": "choices", "from_name": "quality", "to_name": "image", "value": {"choices": ["good"]}},
    "a rating": {"type": "rating", "from_name": "stars", "to_name": "image", "value": {"rating": 3}},
    "a comment": typed("the frog picture is blurry, check again", name="comment"),
    "a field of a text": {**typed("x", name="more"), "to_name": "text"},
}


@pytest.mark.parametrize("result", FOREIGN.values(), ids=FOREIGN)
def test_what_does_not_concern_us_is_neither_answered_nor_told(bench, result):
    config = CONFIG.replace("<View>", '<View><TextArea name="comment" toName="image"/><Text name="text" value="$t"/>')
    answers = bench.predict_service.predict(call(1, context=[result], config=config))
    assert (answers.results[0]["result"], bench.requests(), answers.messages) == ([], [], {})


def test_a_project_can_name_the_field_that_is_its_prompt(bench):
    bench.connect(prompt="comment")
    bench.start_worker()
    config = CONFIG.replace("<View>", '<View><TextArea name="comment" toName="image"/>')
    answers = bench.predict_service.predict(call(1, context=[typed("the red square", name="comment")], config=config))
    assert len(regions(answers)) == 1


def test_a_label_that_does_not_exist_is_told_with_those_that_do(bench):
    bench.start_worker()
    answers = ask(bench, "Cat: the red square", config=TWO_LABELS)
    assert "“Cat” is no label here; there are Thing, Dog." in told(answers)
    assert told(answers).startswith("Label guessed: Thing; write “Dog: …” to choose.")
    assert "“Cat” is no label here; there is only Object." in told(ask(bench, "Cat: the red square"))


class Refusing:
    """Knows no word."""

    fingerprint = "refusing"
    quirks = frozenset()

    def parse(self, text):
        raise BadExpression(f"{text} has a word that is not known.")


@pytest.mark.parametrize("text", ["Cat: the red square", "Cat: the red square; Cat: the blue square"])
def test_a_label_that_does_not_exist_is_told_also_where_the_rest_cannot_be_read(bench, monkeypatch, text):
    segmenter = dataclasses.replace(bench.service.segmenter, parser=Refusing())
    monkeypatch.setattr(wiring, "service", lambda: dataclasses.replace(bench.service, segmenter=segmenter))
    bench.start_worker()
    answers = ask(bench, text, config=TWO_LABELS)
    assert told(answers).startswith("Cat: the red square has a word that is not known.")
    assert told(answers).endswith("“Cat” is no label here; there are Thing, Dog.")
    assert answers.messages == {"bad_expression": 1}


WITH_SEPARATOR = CONFIG.replace('<Label value="Object"/>', '<Label value="Thing"/><Label value="Square; red"/>')


def test_a_label_with_a_separator_is_one_expression(bench):
    bench.start_worker()
    answers = ask(bench, "Square; red: the red square; the square", config=WITH_SEPARATOR)
    assert [region["value"]["brushlabels"] for region in regions(answers)] == [["Square; red"], ["Square; red"]]
    assert [request["body"]["expressions"] for request in bench.requests()] == [
        ["Square; red: the red square", "the square"]
    ]


LONG = CONFIG.replace('<Label value="Object"/>', f'<Label value="{"v" * 40}"/><Label value="{"a" * 75}"/>')


def test_what_there_is_no_room_for_stays_with_the_regions(bench):
    bench.start_worker()
    text = "the red or blue square that is there in the picture"
    answers = ask(bench, f"{text}; none: {'x' * 150}", config=LONG)
    [region] = regions(answers)
    [kept] = [one for one in region["meta"]["ris"]["untold"] if one.startswith("Not sure")]
    assert told(answers).startswith("Label guessed: vvv")
    assert kept not in told(answers)
    assert region["meta"]["ris"]["label_is_guess"]
    [plain] = regions(ask(bench, "the red square", prompt_id="p2"))
    assert "untold" not in plain["meta"]["ris"]


def test_lists_of_other_tools_get_a_hint(bench):
    bench.start_worker()
    assert "Write “;” between them." in told(ask(bench, "red square . blue square ."))


QUIET = {
    "after a submit": [],
    "message changed": [typed("Nothing found.", name="ris_message", prompt_id="m")],
}


@pytest.mark.parametrize("context", QUIET.values(), ids=QUIET)
def test_where_nothing_was_asked_nothing_is_told_or_taken_away(bench, context):
    answers = bench.predict_service.predict(call(1, context=context))
    assert (answers.results[0]["result"], answers.outcomes) == ([], {"idle": 1})
    assert bench.requests() == []


def test_a_blank_prompt_takes_the_message_away(bench):
    assert told(ask(bench, " ")) == ""


def test_a_message_is_no_region_handed_out(bench):
    bench.connect(min_score=0.999)
    bench.start_worker()
    ask(bench, "the red or blue square")
    assert bench.store.counts().regions == 0
    [request] = bench.requests()
    assert request["answer"]["result"] == []
    assert request["message"]["kind"] == "nothing_found"


def test_an_opened_task_is_told_nothing(bench):
    """Label Studio would keep it as a prediction."""
    bench.start_worker()
    bench.predict_service.predict(call(1, context=None, expression="the red square"))
    while bench.store.counts().requests.get(("encode", "done")) != 1:
        time.sleep(0.01)
    answers = bench.predict_service.predict(call(1, context=None, expression="the square"))
    assert [one["from_name"] for one in answers.results[0]["result"]] == ["brush"]
    assert answers.messages == {}


# No worker, no Redis, no room, no database


def test_without_a_worker_nobody_waits(bench):
    began = time.monotonic()
    answers = ask(bench, "the red square")
    assert time.monotonic() - began < bench.predict_service._deadline_s / 2
    assert (told(answers), answers.outcomes) == (messages.TEXTS["no_worker"], {"expired": 1})
    [request] = bench.requests()
    assert (request["state"], request["error"]) == ("expired", "no worker was running")
    assert queueing.queue_lengths(bench.conn)["interactive"] == 0


def test_without_a_place_for_messages_a_worker_is_waited_for(bench):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, bench, "the red square", config=SILENT)
        while queueing.queue_lengths(bench.conn)["interactive"] == 0:
            time.sleep(0.01)
        bench.start_worker()
        assert len(regions(waiting.result())) == 1


def test_a_worker_that_goes_away_meanwhile_is_not_waited_for(bench, monkeypatch):
    monkeypatch.setattr(pending, "WATCH_S", 0.05)
    bench.report()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, bench, "the red square")
        while queueing.queue_lengths(bench.conn)["interactive"] == 0:
            time.sleep(0.01)
        bench.conn.delete("ris:worker:w", "ris:heard")
        assert told(waiting.result()) == messages.TEXTS["no_worker"]
    assert [request["state"] for request in bench.requests()] == ["expired"]


def test_a_model_that_loads_is_waited_for_a_while(bench, monkeypatch):
    monkeypatch.setattr(pending, "WATCH_S", 0.05)
    monkeypatch.setattr(messages, "RETRY_S", 0.2)
    bench.report("loading")
    answers = ask(bench, "the red square")
    assert (told(answers), answers.outcomes) == (messages.TEXTS["loading"], {"expired": 1})
    bench.work()  # the worker is ready now
    assert [request["state"] for request in bench.requests()] == ["expired"]
    assert bench.store.counts().regions == 0  # nobody got it


def test_a_model_that_gets_ready_in_time_answers(bench, monkeypatch):
    monkeypatch.setattr(pending, "WATCH_S", 0.05)
    bench.report("loading")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, bench, "the red square")
        while queueing.queue_lengths(bench.conn)["interactive"] == 0:
            time.sleep(0.01)
        bench.start_worker()
        assert len(regions(waiting.result())) == 1


def test_a_deadline_that_is_over_is_told_and_on_record(make_bench):
    bench = make_bench(deadline_s=0.2)
    bench.report()
    answers = ask(bench, "the red square")
    assert (told(answers), answers.outcomes) == (messages.TEXTS["too_slow"], {"expired": 1})
    assert [request["state"] for request in bench.requests()] == ["expired"]


def test_an_answer_that_comes_at_the_last_moment_is_handed_out(make_bench, monkeypatch):
    """The deadline is over, but before the request is given up its answer is there."""
    bench = make_bench(deadline_s=0.2)
    bench.report()
    real = bench.store.give_up

    def give_up(request_id, error, message=None):
        bench.store.start_request(request_id)
        bench.store.finish_request(request_id, {"result": [{"from_name": "brush"}]})
        return real(request_id, error, message)

    monkeypatch.setattr(bench.store, "give_up", give_up)
    monkeypatch.setattr(request_store.time, "time", lambda: 0.0)  # the store's clock has not come to the end yet
    answers = ask(bench, "the red square")
    assert (len(regions(answers)), told(answers), answers.outcomes) == (1, "", {"answered": 1})


def test_a_full_queue_is_told(make_bench):
    bench = make_bench(max_queued=1, deadline_s=0.1)
    bench.report()
    ask(bench, "the red square", 1)
    answers = ask(bench, "the red square", 2)
    assert (told(answers), answers.outcomes) == (messages.TEXTS["busy"], {"failed": 1})
    [refused] = bench.requests(task="2")
    assert (refused["state"], "limit is 1" in refused["error"]) == ("expired", True)
    with pytest.raises(Busy):
        ask(bench, "the red square", 3, config=SILENT)


def test_a_redis_that_is_down_is_told(make_bench):
    bench = make_bench(redis_url="redis://127.0.0.1:1")
    answers = ask(bench, "the red square")
    assert (told(answers), answers.outcomes) == (messages.TEXTS["unreachable"], {"failed": 1})
    assert [request["state"] for request in bench.requests()] == ["expired"]
    with pytest.raises(Unreachable):
        ask(bench, "the red square", config=SILENT)


def test_a_redis_that_goes_away_while_one_waits_is_told(bench, monkeypatch):
    bench.report()
    monkeypatch.setattr(queueing, "wait_for", lambda *_: redis_client.ping(redis_client.connect("redis://127.0.0.1:1")))
    answers = ask(bench, "the red square")
    assert (told(answers), answers.outcomes) == (messages.TEXTS["unreachable"], {"expired": 1})
    bench.work()  # the job was not lost with it, but nobody waits for it
    assert [request["state"] for request in bench.requests()] == ["expired"]


def test_an_answer_that_was_there_before_redis_went_away_is_handed_out(bench, monkeypatch):
    def work_and_go_away(*_):
        bench.work()
        redis_client.ping(redis_client.connect("redis://127.0.0.1:1"))

    bench.report()
    monkeypatch.setattr(queueing, "wait_for", work_and_go_away)
    answers = ask(bench, "the red square")
    assert (len(regions(answers)), told(answers), answers.outcomes) == (1, as_first(""), {"answered": 1})


def test_a_database_that_is_locked_is_told(tmp_path, redis_url, studio, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0)
    opened = request_store.open_request_store(f"sqlite:///{tmp_path / 'locked.sqlite3'}")
    bench = Bench(opened, redis_url, tmp_path, studio)
    bench.report()
    other = sqlite3.connect(tmp_path / "locked.sqlite3", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    answers = ask(bench, "the red square")
    with pytest.raises(Unreachable, match="locked"):
        ask(bench, "the red square", config=SILENT)
    other.close()
    opened.close()
    assert (told(answers), answers.outcomes) == (messages.TEXTS["unreachable"], {"failed": 1})


# To each their own


def test_an_expression_is_answered_on_its_own_task_only(bench):
    bench.start_worker()
    with ThreadPoolExecutor(6) as pool:
        asked = {i: pool.submit(ask, bench, f"the {c} square", i, prompt_id=f"p{i}") for i, c in COLOURS_OF.items()}
    for i, answers in asked.items():
        [region] = regions(answers.result())
        assert region["meta"]["ris"]["task"] == str(i)
        assert (region["original_height"], region["original_width"]) == size_of(i)
        assert region["meta"]["text"] == [f"the {COLOURS_OF[i]} square"]
    with bench.store._engine.connect() as db:
        recorded = {row.id: row.task for row in db.execute(sa.select(request_store.region))}
    assert recorded == {regions(a.result())[0]["id"]: str(i) for i, a in asked.items()}


COLOURS_OF = {1: "red", 2: "green", 4: "blue", 5: "yellow", 6: "red", 7: "green"}


def test_two_annotators_on_one_task_are_both_answered(bench):
    bench.report()
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, bench, f"the {c} square", prompt_id=c) for c in ("red", "blue")]
        while queueing.queue_lengths(bench.conn)["interactive"] < 2:
            time.sleep(0.01)
        bench.work()
    assert [len(regions(answers.result())) for answers in asked] == [1, 1]


def test_a_superseded_expression_leaves_the_message_to_the_newer_one(bench):
    bench.report()
    with ThreadPoolExecutor(2) as pool:
        older = pool.submit(ask, bench, "the square")
        while queueing.queue_lengths(bench.conn)["interactive"] < 1:
            time.sleep(0.01)
        newer = pool.submit(ask, bench, "the red square")
        older = older.result()
        bench.work()
    assert (older.results[0]["result"], older.outcomes) == ([], {"superseded": 1})
    assert (len(regions(newer.result())), told(newer.result())) == (1, as_first(""))


# Settings of a project


def test_a_setting_that_cannot_be_used_is_told(bench):
    bench.connect(min_score="high")
    bench.report()
    answers = ask(bench, "the red square")
    assert told(answers) == "This project's setting min_score cannot be used: ask whoever connected the project."
    assert bench.open(1).results == [[]]


def test_a_profile_that_does_not_exist_is_told_by_its_name(bench):
    bench.connect(profile="huge")
    bench.start_worker()
    answers = ask(bench, "the red square")
    assert "profile (“huge”)" in told(answers)
    assert answers.outcomes == {"failed": 1}


def test_a_projects_expression_field_is_asked_when_a_task_is_opened(bench):
    bench.connect(expression_field="caption")
    bench.predict_service.predict(call(1, context=None, caption="the red square", expression="the blue square"))
    assert [request["body"]["expressions"] for request in bench.requests(kind="open")] == [["the red square"]]


def test_the_version_of_a_project_is_that_of_its_profile(bench):
    bench.report()
    assert (
        bench.predict_service.projects.model_version(PROJECT)
        == bench.predict_service.projects.model_version()
        == "toy.v1"
    )
    bench.connect(profile="other")
    assert (
        bench.predict_service.projects.model_version(PROJECT)
        == bench.predict_service.projects.known_version(PROJECT)
        == "other.loading"
    )
    worker_registry.report_version(bench.conn, "other", "other.v2")
    assert (bench.predict_service.projects.model_version(PROJECT), bench.predict_service.projects.model_version()) == (
        "other.v2",
        "toy.v1",
    )


def test_the_profile_of_a_project_is_known_after_a_restart(bench):
    bench.connect(profile="other")
    worker_registry.report_version(bench.conn, "other", "other.v2")
    again = PredictService(bench.store, bench.conn, "toy", 1.0, 1)
    assert (again.projects.model_version(PROJECT), again.projects.known_version()) == ("other.v2", "toy.loading")


# Encoding ahead


def test_prompts_on_the_tasks_after_an_opened_one_encode_nothing(bench):
    assert bench.open(1).results == [[]]
    bench.work()
    assert bench.encoder.encoded == {size_of(i): 1 for i in (1, 2, 4, 5, 6, 7)}  # the third is labelled
    bench.start_worker()
    for i in (2, 4, 5, 6, 7):
        [region] = regions(ask(bench, "the red square", i))
        assert (region["original_height"], region["original_width"]) == size_of(i)
    assert sum(bench.encoder.encoded.values()) == 6
    regions(ask(bench, "the red square", 8))  # this one was not foreseen
    assert bench.encoder.encoded[size_of(8)] == 1


def test_what_was_encoded_or_queued_already_is_not_queued_again(bench):
    bench.open(1)
    bench.work()
    bench.open(2)
    bench.work()
    assert [request["task"] for request in bench.requests(kind="ahead")] == ["2", "4", "5", "6", "7", "8"]
    assert set(bench.encoder.encoded.values()) == {1}


def test_what_a_prompt_has_encoded_already_is_not_queued(bench):
    bench.report()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, bench, "the red square", 5)
        while not bench.work():
            time.sleep(0.01)
        asked.result()
    bench.open(4)
    bench.work()
    assert [request["task"] for request in bench.requests(kind="ahead")] == ["6", "7", "8", "9"]


def test_an_opened_task_goes_before_those_that_may_be_opened(bench):
    bench.open(1)
    queue, first = queueing.take(bench.conn, "w", 0.01)
    jobs.encode_ahead(first)
    bench.open(9)
    _, following = queueing.take(bench.conn, "w", 0.01)
    assert (queue, bench.store.get_request(following).task) == ("bulk", "9")


def test_an_encoding_ahead_that_is_stale_is_dropped(bench, monkeypatch):
    bench.open(1)
    jobs.encode_ahead(queueing.take(bench.conn, "w", 0.01)[1])
    later = time.time() + 1000
    monkeypatch.setattr(request_store.time, "time", lambda: later)
    assert bench.work() == 5
    assert sum(bench.encoder.encoded.values()) == 1
    assert bench.store.counts().requests == {("ahead", "expired"): 5, ("encode", "done"): 1}


def test_a_list_of_tasks_is_not_looked_beyond(bench):
    """Label Studio may ask for predictions of the very tasks that it is asked to list."""
    bench.open(1, 2)
    bench.work()
    assert set(bench.encoder.encoded) == {size_of(1), size_of(2)}
    assert bench.requests(kind="ahead") == []


STUDIOS = {
    "does not answer": (503, b""),
    "does not let us in": (401, b""),
    "answers something else": (200, b"<html>"),
    "has no such list": (200, b"{}"),
}


@pytest.mark.parametrize(("status", "body"), STUDIOS.values(), ids=STUDIOS)
def test_a_label_studio_that_lists_no_tasks_costs_nothing(make_bench, serve, status, body):
    bench = make_bench()
    odd = serve(lambda r: (status, {}, body) if "api" in r.path else (200, {}, toy_png(*size_of(1))))
    bench.studio = odd
    bench.studio.url = odd.url
    bench.connect()
    bench.open(1)
    bench.work()
    assert [(request["kind"], request["state"]) for request in bench.requests()] == [("encode", "done")]
    assert "/api/tasks" in odd.seen[-1].path


def test_switched_off_nothing_is_encoded_ahead(bench):
    object.__setattr__(bench.service, "ahead", 0)
    bench.open(1)
    bench.work()
    assert not any("/api" in request.path for request in bench.studio.seen)


# Events


ACTIONS = {
    "known": (b'{"action": "ANNOTATION_CREATED"}', "ANNOTATION_CREATED"),
    "no text": (rb'{"action": "\ud800"}', "invalid"),
    "not to be printed": (rb'{"action": "a\u001b[31m"}', "invalid"),
    "missing": (b"{}", "invalid"),
}


@pytest.mark.parametrize(("raw", "action"), ACTIONS.values(), ids=ACTIONS)
def test_every_event_is_kept_under_an_action_that_can_be_shown(bench, raw, action):
    assert keep_event(bench.store, raw)[0] == action
    with bench.store._engine.connect() as db:
        assert db.execute(sa.select(request_store.webhook.c.action, request_store.webhook.c.body)).all() == [
            (action, raw.decode())
        ]


# A picture that takes longer than an answer may


def busy(bench, **fields):
    """A worker that encodes the picture of task 1, and has done so for no time."""
    fields = {"encoding": f"{PROJECT}/1", "encoding_since": time.time(), "encode_s": 300.0} | fields
    worker_registry.report_worker(
        bench.conn, WorkerInfo("w", "here", 1, 1.0, "toy", "cpu", "toy.v1", "ready", **fields)
    )


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(pending, "WATCH_S", 0.05)


def wait_until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("impatient")
def test_a_picture_that_takes_too_long_is_told_at_once_and_encoded_all_the_same(bench):
    busy(bench)
    began = time.monotonic()
    answers = ask(bench, "the red square")
    assert time.monotonic() - began < bench.predict_service._deadline_s / 2
    assert told(answers) == "Reading the picture, about 5 minutes. Type “again” then."
    assert [(request["kind"], request["state"]) for request in bench.requests()] == [
        ("interactive", "expired"),
        ("encode", "queued"),
    ]
    bench.start_worker()
    wait_until(lambda: bench.requests(kind="encode")[0]["state"] == "done")
    assert len(regions(ask(bench, "the red square"))) == 1
    assert bench.encoder.encoded.total() == 1


@pytest.mark.usefixtures("impatient")
def test_again_asks_what_was_asked_before(bench):
    busy(bench)
    ask(bench, "the red square")
    bench.start_worker()
    answers = bench.predict_service.predict(call(1, context=[typed("the red square", "again")]))
    [region] = regions(answers)
    assert region["meta"]["text"] == ["the red square"]


@pytest.mark.usefixtures("impatient")
def test_a_picture_that_will_be_there_in_time_is_waited_for(bench):
    busy(bench, encode_s=1.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, bench, "the red square")
        wait_until(lambda: queueing.queue_lengths(bench.conn)["interactive"])
        bench.start_worker()
        assert len(regions(waiting.result())) == 1


@pytest.mark.usefixtures("impatient")
def test_how_long_is_not_known_before_the_first(bench, monkeypatch):
    monkeypatch.setattr(messages, "RETRY_S", 0.2)
    busy(bench, encode_s=0.0)
    assert "a minute or more" in told(ask(bench, "the red square"))


@pytest.mark.usefixtures("impatient")
def test_at_the_deadline_it_is_said_that_the_picture_is_still_encoded(make_bench):
    bench = make_bench(deadline_s=1.5)
    busy(bench, encode_s=0.1, encoding_since=time.time() - 60)
    assert told(ask(bench, "the red square")) == "Reading the picture, about 10 s. Type “again” then."


def test_a_job_may_run_as_long_as_an_encoding(bench):
    busy(bench)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, bench, "the red square")
        wait_until(lambda: queueing.queue_lengths(bench.conn)["interactive"])
        [job] = queueing._queue(bench.conn, "interactive").jobs
        assert job.timeout == queueing.ENCODE_TIMEOUT_S
        waiting.result()


@pytest.mark.usefixtures("impatient")
def test_again_leaves_the_list_of_entries(bench):
    config = CONFIG.replace('name="prompt" toName="image"', 'name="prompt" toName="told"')
    busy(bench)
    ask(bench, "the red square", config=config)
    bench.start_worker()
    answers = bench.predict_service.predict(call(1, context=[typed("the red square", "again")], config=config))
    [entries] = [one for one in answers.results[0]["result"] if one["from_name"] == "prompt"]
    assert entries["value"]["text"] == ["the red square"]


def test_again_with_nothing_before_it_is_an_expression(bench):
    bench.start_worker()
    [region] = regions(ask(bench, "again"))
    assert region["meta"]["text"] == ["again"]
