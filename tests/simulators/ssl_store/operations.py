"""What each operation of The SSL Store may be sent, besides who asks."""
from common import shapes
from common.shapes import Fields, List, boolean, choice, email, integer, optional, text

any_text = optional(shapes.anything)
AUTH = Fields({"PartnerCode": any_text, "AuthToken": any_text}, {
    "ReplayToken": any_text, "UserAgent": any_text, "TokenID": any_text, "TokenCode": any_text, "IPAddress": any_text,
    "IsUsedForTokenSystem": boolean, "Token": any_text})
CONTACT = Fields({"FirstName": text(200), "LastName": text(200), "Phone": text(40), "Email": email}, {
    n: any_text for n in ("Fax", "Title", "OrganizationName", "AddressLine1", "AddressLine2", "City", "Region", "PostalCode", "Country")})
ADDRESS = Fields({}, {n: any_text for n in ("AddressLine1", "AddressLine2", "AddressLine3", "City", "Region", "PostalCode", "Country", "Phone", "Fax", "LocalityName")})
COMPANY = Fields({}, dict({n: any_text for n in (
    "OrganizationName", "DUNS", "Division", "IncorporatingAgency", "RegistrationNumber", "JurisdictionCity", "JurisdictionRegion", "JurisdictionCountry")}, OrganizationAddress=ADDRESS))
FLAGS = {n: boolean for n in ("FileAuthDVIndicator", "HTTPSFileAuthDVIndicator", "CNAMEAuthDVIndicator")}
UNIQUE = optional(text(20, pattern=r"[A-Za-z0-9]+"))
PLACE = Fields({"ProductCode": text(100), "ValidityPeriod": integer(1, 60), "ServerCount": choice(1), "CSR": text(65536), "DomainName": text(253),
                "WebServerType": text(60), "SignatureHashAlgorithm": text(60), "AdminContact": CONTACT, "TechnicalContact": CONTACT},
               dict({"CustomOrderID": optional(text(100)), "DNSNames": List(text(253)), "ReserveSANCount": integer(0, 250), "WildcardReserveSANCount": integer(0, 250),
                     "ApproverEmail": any_text, "CSRUniqueValue": UNIQUE, "isCUOrder": boolean, "isRenewalOrder": boolean, "isTrialOrder": boolean,
                     "RelatedTheSSLStoreOrderID": any_text, "OrganizationInfo": COMPANY, "TSSOrganizationId": integer(0), "AutoWWW": boolean, "ApproverMethod": any_text,
                     "SpecialInstructions": any_text, "EmailLanguageCode": any_text, "AddInstallationSupport": boolean, "CertTransparencyIndicator": boolean,
                     "RenewalDays": integer(0), "ExtraProductCodes": any_text, "isPKCS10": boolean, "ProvisioningMethod": any_text, "DateTimeCulture": any_text}, **FLAGS))
WHICH = {"TheSSLStoreOrderID": any_text, "CustomOrderID": any_text}
CULTURE = {"DateTimeCulture": any_text}
PAIRS = List(Fields({"OldValue": shapes.anything, "NewValue": shapes.anything}))
REISSUE = Fields({"CSR": text(65536), "ReissueEmail": email, "SignatureHashAlgorithm": text(60)}, dict(
    WHICH, WebServerType=any_text, DNSNames=List(text(253)), AddSAN=PAIRS, EditSAN=PAIRS, DeleteSAN=PAIRS, isWildCard=boolean, isRenewalOrder=choice(False),
    ApproverEmails=any_text, CSRUniqueValue=UNIQUE, PreferEnrollmentLink=choice(False), SpecialInstructions=any_text, DateTimeCulture=any_text, **FLAGS))
DOWNLOAD = Fields({}, dict(WHICH, ReturnPKCS7Cert=boolean, PlatFormId=any_text, FormatType=any_text, **CULTURE))
QUERY = Fields({}, dict(WHICH, **{n: any_text for n in ("StartDate", "EndDate", "CertificateExpireFromDate", "CertificateExpireToDate", "DomainName",
                                                       "SubUserID", "ProductCode")}, PageNumber=integer(0), PageSize=integer(0), **CULTURE))
# Operation: shape besides AuthRequest, method.
OPERATIONS = {
    "product/query": (Fields({"ProductType": integer(0, 9)}, {"ProductCode": any_text, "NeedSortedList": boolean}), "products"),
    "csr": (Fields({"ProductCode": text(100), "CSR": text(65536)}), "read_csr"),
    "order/validate": (Fields({"CSR": text(65536), "ProductCode": text(100), "ServerCount": choice(1), "ValidityPeriod": integer(1, 60), "WebServerType": text(60)}), "validate"),
    "order/validateorderparameters": (PLACE, "dry_run"), "order/neworder": (PLACE, "place"),
    "order/approverlist": (Fields({"ProductCode": text(100), "DomainName": text(253)}), "approvers"),
    "order/agreement": (Fields({"ProductCode": text(100)}, dict({n: any_text for n in ("DomainName", "CSR", "WebServerType")}, ServerCount=choice(1), ValidityPeriod=integer(1, 60))), "agreement"),
    "order/status": (Fields({}, dict(WHICH, **CULTURE)), "status"), "order/query": (QUERY, "query"),
    "order/getmodifiedorderssummary": (Fields({"StartDate": any_text, "EndDate": any_text}, {"SubUserID": any_text, "PageNumber": integer(0), "PageSize": integer(0)}), "modified"),
    "order/download": (DOWNLOAD, "download"), "order/downloadaszip": (DOWNLOAD, "download_zip"), "order/reissue": (REISSUE, "reissue"),
    "order/resend": (Fields({"ResendEmailType": choice("ApproverEmail")}, dict(WHICH, ResendEmail=any_text, DomainNames=any_text)), "resend"),
    "order/changeapproveremail": (Fields({"ResendEmail": text(254), "DomainNames": text(8000)}, WHICH), "change_email"),
    "order/changeapprovermethod": (Fields({"ApproverMethod": text(60)}, dict(WHICH, ApproverEmail=any_text, DomainNames=any_text)), "change_method"),
    "digicert/checkdcv": (Fields({"DomainName": text(253)}, WHICH), "check_dcv"),
    "order/refundrequest": (Fields({"RefundReason": text(2000)}, dict(WHICH, RefundRequestID=any_text)), "refund"),
    "order/refundstatus": (Fields({"RefundRequestID": text(60)}, WHICH), "refund_status"),
    "order/certificaterevokerequest": (Fields({}, dict(WHICH, SerialNumber=any_text, RevokeReason=any_text, ResendEmail=any_text)), "revoke"),
    "setting/setordercallback": (Fields({"url": text(2000)}), "callback"),
}
TOP = ("health/validate", "digicert/organizationlist", "user/accountdetail")  # credentials at the top, no AuthRequest
CHANGING = ("order/neworder", "order/reissue", "order/resend", "order/changeapproveremail", "order/changeapprovermethod", "digicert/checkdcv",
            "order/refundrequest", "order/certificaterevokerequest", "setting/setordercallback")
ARRAYS = ("product/query", "order/query")
TOKEN_MAY = ("order/status", "order/download", "order/downloadaszip", "order/reissue", "order/resend")
