"""Slow tests that `make test` draws more often than others: what they hold of money no fast test can.

They need a trader as a process, a clock that goes on, and an exchange that trades with it.
"""

OFTEN = frozenset(
    f"tests/live/{name}"
    for name in (
        "test_audit_lost.py::test_trader_whose_log_is_removed_ends_with_3_and_starts_again",
        "test_fee_values.py::test_fee_at_a_price_counts_in_every_output_and_limit",
        "test_fee_values.py::test_fee_without_a_price_is_named_and_no_result_is_net",
        "test_gateway_left.py::test_nothing_is_left_after_an_end_with_lost_reports",
        "test_server_doors.py::test_trader_of_the_interface_needs_its_token",
        "test_trade_account.py::test_account_changed_by_others_stops_a_trader_and_the_next_start",
        "test_trade_fees.py::test_rebate_is_income_everywhere",
        "test_trade_kills.py::test_killing_limit_is_followed_only_by_cancels",
        "test_trade_kills.py::test_start_after_sigkill_at_any_instant_matches_exchange",
        "test_trade_lost_fills.py::test_fill_of_a_lost_event_is_booked_though_it_is_older_than_the_first_booked_one",
        "test_trade_many_fills.py::test_starts_after_thousands_of_fills_and_kills",
        "test_trade_many_fills.py::test_way_out_of_a_reset_exchange_keeps_position_and_pnl",
        "test_trade_midnights.py::test_books_are_the_exchanges_over_midnights_and_kills",
        "test_trade_pair.py::test_both_markets_have_the_exchanges_books_over_a_kill",
        "test_trade_rules.py::test_knobs_that_the_exchange_has_outgrown_are_tried_again_and_bad_ones_are_not",
        "test_trade_symbols.py::test_symbols_end_in_order_with_the_exchanges_books",
        "test_trade_usdm.py::test_flatten_closes_what_is_worth_less_than_the_least_notional",
        "test_trade_usdm.py::test_trade_books_position_and_wallet_as_the_exchange_does",
        "test_trade_usdm_events.py::test_kill_closes_the_position_only_where_it_is_told_to",
        "test_trade_usdm_events.py::test_margin_ratio_kills_before_the_exchange_liquidates",
        "test_trade_usdm_faults.py::test_books_match_exchange_after_fault",
        "test_trade_usdm_faults.py::test_listen_key_that_is_ended_elsewhere_is_replaced",
        "test_trade_usdm_faults.py::test_mark_price_that_has_moved_is_asked_for_once_an_order_is_refused_by_it",
        "test_two_hosts.py::test_second_host_sends_nothing_while_the_first_has_open_orders",
        "test_usdm_money.py::test_fees_and_funding_are_equal_to_the_last_digit_in_all_books",
        "test_usdm_money.py::test_liquidation_is_equal_to_the_last_digit_in_all_books",
    )
)
"""The functions, by path and name."""
