from mm.market_data.stalls import MOST_PATIENCE_S, StallDetector


def test_silence_beyond_the_limit_is_a_stall_and_told_once():
    """It is measured from the last update, or from the connection where none came yet."""
    silence = StallDetector(3.0)
    silence.connected(100.0)
    assert silence.stalled_s(102.9) is None
    silence.received(102.9, ids_missing=False)
    assert silence.stalled_s(105.8) is None
    assert silence.stalled_s(106.0) == 106.0 - 102.9
    assert silence.stalled_s(107.0) is None


def test_without_a_connection_there_is_no_stall():
    """The next one is under way."""
    silence = StallDetector(3.0)
    assert silence.stalled_s(50.0) is None
    silence.connected(100.0)
    silence.disconnected()
    assert silence.stalled_s(200.0) is None


def quiet(silence, now_s):
    """Connect, hear nothing, and return how long that lasted until it was a stall."""
    silence.connected(now_s)
    waited = next(tenth / 10 for tenth in range(1, 10_000) if silence.stalled_s(now_s + tenth / 10) is not None)
    return round(waited)


def test_a_quiet_symbol_is_tested_less_and_less_often():
    """Each test costs a connection, and shows that the market is only quiet."""
    silence = StallDetector(3.0)
    found = [quiet(silence, 100.0 * n) for n in range(7)]
    assert found == [3, 6, 12, 24, 48, MOST_PATIENCE_S, MOST_PATIENCE_S]


def test_missing_ids_prove_the_stall_and_end_the_patience():
    """The stream had something to say."""
    silence = StallDetector(3.0)
    quiet(silence, 0.0)
    quiet(silence, 100.0)
    silence.connected(200.0)
    silence.received(200.1, ids_missing=True)
    assert silence.stalled_s(203.0) is None
    assert silence.stalled_s(203.2) is not None


def test_a_minute_without_a_long_silence_ends_the_patience():
    """The market has woken up."""
    silence = StallDetector(3.0)
    quiet(silence, 0.0)
    silence.connected(100.0)
    for second in range(62):
        silence.received(100.0 + second, ids_missing=False)
    assert silence.stalled_s(164.5) is not None


def test_a_trade_is_owed_an_update_however_great_the_patience():
    """A trade changes the book, so silence behind it is the stream's fault; silence before it was not."""
    silence = StallDetector(3.0)
    for n in range(4):
        quiet(silence, 100.0 * n)
    silence.connected(1000.0)
    silence.expect(1010.0)
    silence.expect(1012.0)
    assert silence.stalled_s(1012.9) is None
    assert silence.stalled_s(1013.0) == 13.0


def test_an_update_settles_what_trades_are_owed():
    """They follow each other within a tenth of a second."""
    silence = StallDetector(3.0)
    silence.connected(0.0)
    silence.expect(2.5)
    silence.received(2.6, ids_missing=False)
    assert silence.stalled_s(5.55) is None
