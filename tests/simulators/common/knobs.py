"""Where the facts leave it open what a CA does: each knob is a setting with all the values that a client must live with. KNOBS has
them for each interface; what stands behind a value is told in README.md."""

EVERY = {
    "approval": ["auto", "manual", "reject", "hold"],
    "chain": ["right", "wrong", "none"],
    "certificate_days": [199, 90, 46],
}
CSR = {"csr_shown": ["pem", "base64", "base64 lines", "pem crlf", "none"]}
RETRY = {"retry_after_form": ["seconds", "date", "none"]}
REVOCATION = {"revocation": ["at once", "requested", "later", "refused"], "revoked_download": ["given", "refused", "empty"]}
QUEUE = {"queue_without_organization": [False, True], "burst_counting": ["accepted", "attempts", "fixed"]}

KNOBS = {
    "certinext-v1": dict(
        EVERY, **CSR, **REVOCATION, **QUEUE, v1_authentication_status=[200, 401, 403], v1_authentication_body=["meta", "empty"],
        authentication_words=["Authentication failed", "Invalid Request"], undocumented_code=["", "EMS-999"], duplicate_txn_status=[200, 409],
        txn_seconds=[0.0, 60.0], clock_skew_seconds=[300, 60], place_checks_signer_ip=[True, False], dcv_ready_seconds=[0.0, 2.0],
        domain_verification_seconds=[0.0, 2.0], products_need_group=[False, True], csr_replacement=[False, True]),
    "certinext-v2": dict(
        EVERY, **RETRY, **REVOCATION, **QUEUE, ems_place=["prefix", "brackets", "type"], csr_code=["EMS-921", "EMS-922"], csr_taken=["both", "pem", "base64"],
        verify_answer=[200, 204], v2_email_field=["taken", "refused"], v2_email_answer=[204, 422], download_status=[422, 404],
        download_body=["problem", "empty", "spring"], download_seconds=[0.0, 3.0], unknown_looks=[0, 2], order_id_form=["numeric", "ord"],
        chain_order=["right", "reversed"], root_in_chain=[True, False], dcv_inheritance=[True, False], update_sans=["replace", "add"],
        dns_covers_subdomains=[True, False], dcv_ready_seconds=[0.0, 2.0]),
    "sectigo": dict(
        EVERY, **RETRY, replace_keeps_id=[True, False], dcv_refusal=[-107, -737, -724], default_page_size=[25, 199], requests_per_second=[0, 2],
        wrong_password_code=[-16, -970], not_yet_code=[-1400, -183, -109, -103, -169], download_seconds=[0.0, 3.0], unique_value=[True, False],
        collect_while_replacing=[False, True], date_time_format=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.000+0000"]),
    "ssl-store": dict(
        EVERY, **RETRY, fresh_status=["Initial", "Pending"], empty_dcv_polls=[0, 1, 2], query_wrong_token=["empty", "book", "refused"],
        digicert_file_name=["given", "empty"], checkdcv_needs_order=[False, True], revoke_path=["both", "refundrequest", "certificaterevokerequest"],
        refund_approval=["auto", "manual"], rejected_status=["Cancelled", "Rejected"], revoked_status=["Cancelled", "Revoked"],
        file_order=["odd", "leaf first"], root_in_download=[True, False], largest_page=[0, 10], change_method=[True, False],
        active_status=["Active", "issued", "valid", "complete", "completed", "enrolled"], reuse_dv=[True, False],
        undocumented_number=["", "-9999"]),
    "digicert": dict(
        EVERY, **CSR, **RETRY, limit_counting=["accepted", "all"], revoke_status=[204, 201, 200], revoke_last=["certificate", "order"], reuse_dv=[False, True],
        check_dcv_form=["status", "list"], other_downloads=[0, 1], lists_repeat_primary=[False, True], filter_alternative=["refused", "works", "ignored"],
        unique_alternative_order_id=[False, True], retry_after=[0, 5]),
}

# What else has to be set so that a knob can be seen at all.
BESIDES = {"download_status": {"download_seconds": 3.0}, "download_body": {"download_seconds": 3.0}, "not_yet_code": {"download_seconds": 3.0},
           "v1_authentication_body": {"v1_authentication_status": 401}}
# Words that nobody has recorded: the values are examples, a test may set any other.
FREE = ("authentication_words", "undocumented_code", "undocumented_number", "date_time_format")
TITLES = {"certinext-v1": "certinext", "certinext-v2": "certinext", "ssl-store": "ssl_store"}


def allowed_values(title):
    """{setting: values} of the simulator of this title."""
    return {name: values for interface, knobs in KNOBS.items() if TITLES.get(interface, interface) == title
            for name, values in knobs.items() if name not in FREE}


def cases(interface, left_out=()):
    """(knob, value) of every value that is not the first of its knob, whose settings are settings_of(knob, value)."""
    return [(knob, value) for knob, values in KNOBS[interface].items() if knob not in left_out for value in values[1:]]


def settings_of(knob, value):
    return dict(BESIDES.get(knob, {}), **{knob: value})
